// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// asking sets a verification request; handled is the one in status.
func asking(request, handled string) option {
	return func(o *Observation) {
		o.Deployment.Annotations = map[string]string{v1alpha1.AnnotationVerifyRequestedAt: request}
		o.Deployment.Status.LastHandledVerifyAt = handled
	}
}

// A requested verification is made at once, whatever the interval, and once. Its result, good or
// bad, answers the request.
func TestAVerificationOnRequest(t *testing.T) {
	t.Parallel()
	answered := func(request string) option { return func(o *Observation) { o.Verification.Request = request } }
	for name, tc := range map[string]struct {
		seen    Observation
		do      Action
		handled string
	}{
		"no request":  {deployment("prod", verified(accepted, 0)), Nothing, ""},
		"a request":   {deployment("prod", verified(accepted, 0), asking("one", "")), Verify, ""},
		"asked again": {deployment("prod", verified(accepted, 0), asking("two", "one"), answered("one")), Verify, ""},
		"the answer is known": {
			deployment("prod", verified(accepted, 0), asking("one", ""), answered("one")), Nothing, "one",
		},
		"a bad answer is one": {
			deployment("prod", verified(refused, 0), asking("one", ""), answered("one")), Nothing, "one",
		},
		"and so is none": {
			deployment("prod", verified(unreachable, 0), asking("one", ""), answered("one")), Nothing, "one",
		},
		"after a restart it is not repeated": {
			deployment("prod", verified(accepted, 0), asking("one", "one")), Nothing, "one",
		},
		"the request is taken back": {deployment("prod", verified(accepted, 0), asking("", "one")), Nothing, "one"},
		"taken back after the answer": {
			deployment("prod", verified(accepted, 0), asking("", "one"), answered("one")), Nothing, "one",
		},
		"a later one came meanwhile": {
			deployment("prod", verified(accepted, 0), asking("two", ""), answered("one")), Verify, "",
		},
		"settling: it waits": {
			deployment("prod", verified(accepted, 0), asking("one", ""), func(o *Observation) { o.Settling = true }),
			Nothing, "",
		},
		"the settings are not complete": {
			deployment("prod", asking("one", ""), problem(true, "no key")), Nothing, "one",
		},
		"not complete, without a request": {
			deployment("prod", asking("", "one"), problem(true, "no key")), Nothing, "one",
		},
		"during the backoff of an earlier failure": {
			deployment("prod", verified(unreachable, time.Millisecond), asking("two", "one"), answered("one")), Verify,
			"",
		},
		"it brings a list with it, B51": {
			deployment(
				"prod", verified(accepted, 0), minting(accepted, time.Second), asking("one", ""), answered("one"),
			),
			List, "",
		},
		"the answer stands at the next look": {
			deployment("prod", verified(accepted, time.Minute), asking("one", "one"), answered("one")), Nothing, "one",
		},
		"taken back while it was being asked": {
			deployment("prod", verified(accepted, 0), asking("", ""), answered("one")), Nothing, "one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := Decide(tc.seen)
			status := *tc.seen.Deployment.Status.DeepCopy()
			plan.Apply(&status, tc.seen)
			switch {
			case plan.Action != tc.do:
				t.Errorf("does %q, want %q", plan.Action, tc.do)
			case plan.Action == Nothing && !plan.SkipStatusUpdate && status.LastHandledVerifyAt != tc.handled:
				t.Errorf("answered is %q, want %q", status.LastHandledVerifyAt, tc.handled)
			}
		})
	}
}

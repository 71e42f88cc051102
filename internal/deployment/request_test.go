// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// withVerifyRequest sets a verification request; handled is the one in status.
func withVerifyRequest(request, handled string) option {
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
		"no request": {newDeployment("prod", withVerification(accepted, 0)), Nothing, ""},
		"a request":  {newDeployment("prod", withVerification(accepted, 0), withVerifyRequest("one", "")), Verify, ""},
		"asked again": {newDeployment("prod", withVerification(accepted, 0), withVerifyRequest("two", "one"),
			answered("one")), Verify, ""},
		"the answer is known": {
			newDeployment("prod", withVerification(accepted, 0), withVerifyRequest("one", ""), answered("one")), Nothing, "one",
		},
		"a bad answer is one": {
			newDeployment("prod", withVerification(refused, 0), withVerifyRequest("one", ""), answered("one")), Nothing, "one",
		},
		"and so is none": {
			newDeployment("prod", withVerification(unreachable, 0), withVerifyRequest("one", ""), answered("one")), Nothing,
			"one",
		},
		"after a restart it is not repeated": {
			newDeployment("prod", withVerification(accepted, 0), withVerifyRequest("one", "one")), Nothing, "one",
		},
		"the request is taken back": {newDeployment("prod", withVerification(accepted, 0), withVerifyRequest("", "one")),
			Nothing, "one"},
		"taken back after the answer": {
			newDeployment("prod", withVerification(accepted, 0), withVerifyRequest("", "one"), answered("one")), Nothing, "one",
		},
		"a later one came meanwhile": {
			newDeployment("prod", withVerification(accepted, 0), withVerifyRequest("two", ""), answered("one")), Verify, "",
		},
		"settling: it waits": {
			newDeployment("prod", withVerification(accepted, 0), withVerifyRequest("one", ""),
				func(o *Observation) { o.Settling = true }),
			Nothing, "",
		},
		"the settings are not complete": {
			newDeployment("prod", withVerifyRequest("one", ""), withProblem(true, "no key")), Nothing, "one",
		},
		"not complete, without a request": {
			newDeployment("prod", withVerifyRequest("", "one"), withProblem(true, "no key")), Nothing, "one",
		},
		"during the backoff of an earlier failure": {
			newDeployment("prod", withVerification(unreachable, time.Millisecond), withVerifyRequest("two", "one"),
				answered("one")), Verify,
			"",
		},
		"it brings a list with it, B51": {
			newDeployment(
				"prod", withVerification(accepted, 0), withMintingSession(accepted, time.Second), withVerifyRequest("one", ""),
				answered("one"),
			),
			List, "",
		},
		"the answer stands at the next look": {
			newDeployment("prod", withVerification(accepted, time.Minute), withVerifyRequest("one", "one"), answered("one")),
			Nothing, "one",
		},
		"taken back while it was being asked": {
			newDeployment("prod", withVerification(accepted, 0), withVerifyRequest("", ""), answered("one")), Nothing, "one",
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

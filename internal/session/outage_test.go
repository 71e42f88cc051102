// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// B162: a short outage is in the status of the deployment only.
func TestAShortOutageIsNotWrittenToSessions(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Deployment){
		"unreachable":      func(d *Deployment) { d.Result = unreachable },
		"refused":          func(d *Deployment) { d.Result = refused },
		"invalid settings": func(d *Deployment) { d.Problem, d.Result = "no key", authcheck.Result{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with := func(since time.Duration, options ...option) Observation {
				o := newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, 20*time.Hour)}, options...)...)
				change(&o.Deployment)
				o.Deployment.NotReadySince = noon.Add(-since)
				return o
			}
			unsaid := func(o Observation) bool { return outcomeOf(o, Decide(o)).Authenticated == "" }
			at := with(0).outageReportTime().Sub(noon)
			if at < interval || at > 2*interval {
				t.Errorf("an outage is reported %s after its begin, want %s to %s", at, interval, 2*interval)
			}
			for name, c := range map[string]struct {
				o      Observation
				unsaid bool
			}{
				"at its begin":         {with(0), true},
				"a time in the future": {with(-time.Second), false},
				"before the deployment says so": {func() Observation {
					o := with(0)
					o.Deployment.NotReadySince = time.Time{}
					return o
				}(), true},
				"just before it is reported":    {with(at - time.Second), true},
				"then":                          {with(at), false},
				"what is asked for has to wait": {with(0, withRenewRequest("one", "")), false},
				"the spec is changed":           {with(0, func(o *Observation) { o.Session.Generation++ }), false},
				"the session says so already": {with(0, func(o *Observation) {
					o.Session.Status.Conditions = append(o.Session.Status.Conditions, metav1.Condition{
						Type: v1alpha1.ConditionAuthenticated, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonRateLimited,
					})
				}), false},
				"the Secret is edited":   {with(0, withSecret(func(s *Secret) { s.InSync = false })), false},
				"the token is not known": {with(0, withSecret(func(s *Secret) { s.Unconfirmed = true })), false},
				"the token is revoked":   {with(0, func(o *Observation) { o.ServerTokens = ServerTokens{Loaded: true} }), false},
				"the user is suspended":  {with(0, func(o *Observation) { o.TargetUser.Suspended = true }), false},
				"another token is supplied": {newSession("ci", withToken(), publishedSupplied("former"),
					checkedAs(value, 0, accepted), withDeployment(change)), false},
				"the token that is supplied": {newSession("ci", withToken(), publishedSupplied(value),
					checkedAs(value, 0, accepted), withDeployment(change)), true},
				"its token has ended": {with(0, func(o *Observation) { o.Secret.Token.ExpiresAt = noon }), false},
			} {
				got := outcomeOf(c.o, Decide(c.o))
				if unsaid(c.o) != c.unsaid {
					t.Errorf("%s: Authenticated is %q", name, got.Authenticated)
				}
				if c.unsaid && (got.Ready != "True Active" || got.Wake <= 0 || got.Wake > 2*interval) {
					t.Errorf("%s: Ready is %q, and the session is looked at after %s", name, got.Ready, got.Wake)
				}
			}
		})
	}
}

// B162: nothing of the status changes, whatever the session asks for.
func TestAShortOutageChangesNothingInStatus(t *testing.T) {
	t.Parallel()
	for name, steady := range map[string]Observation{
		"mint": newSession("ci", withMint("bot"), lookedUp("u", "bot"), withPublishedToken("t4", 4, time.Hour),
			withRecordedUser("u", "bot")),
		"token":       newSession("ci", withToken(), publishedSupplied(value), checkedAs(value, 0, accepted)),
		"certificate": newSession("ci", withCertificate(), publishedPlain(), checkedAs("", 0, accepted)),
		"oauth":       newSession("ci", withOAuth(), withHeldGrant(0), publishedGrant(0), checkedAs(value, 0, accepted)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := steady
			for range 2 { // the second pass finds the status of the first one
				Decide(o).Apply(&o.Session.Status, o.Session.Generation, o.Now)
			}
			if ready := outcomeOf(o, Decide(o)).Ready; ready != "True Active" {
				t.Fatalf("the session is %s before the outage: %+v", ready, o.Session.Status)
			}
			o.Deployment.Result = unreachable
			status := o.Session.Status.DeepCopy()
			Decide(o).Apply(status, o.Session.Generation, o.Now.Add(time.Second))
			if diff := cmp.Diff(&o.Session.Status, status); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// B162: a long outage does not write all sessions at once.
func TestSessionsReportAnOutageAtDifferentTimes(t *testing.T) {
	t.Parallel()
	const minutes = 5
	var perMinute [minutes + 1]int
	for i := range 1000 {
		uid := types.UID(uuid.NewSHA1(uuid.Nil, []byte{byte(i), byte(i >> 8)}).String())
		o := newSession("ci", withMint("bot"), func(o *Observation) { o.Session.UID = uid })
		o.Deployment.Interval = time.Hour
		perMinute[(o.outageReportTime().Sub(noon)-maxOutageDelay)/time.Minute]++
	}
	for minute, n := range perMinute[:minutes] {
		if n < 100 || n > 300 {
			t.Errorf("%d of 1000 sessions report the outage in minute %d of %d", n, minute, minutes)
		}
	}
}

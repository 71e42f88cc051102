// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// withCounts sets how many sessions are counted, and when the counters were last written, so long ago.
func withCounts(total int32, ago time.Duration) option {
	return func(o *Observation) {
		o.Sessions.Counts.Total, o.CountsTime = total, o.Now.Add(-ago)
	}
}

// B161: the counters alone are written at most once in five seconds, and together with everything else that
// changes.
func TestCountsAreWrittenOnceInFiveSeconds(t *testing.T) {
	t.Parallel()
	first := newDeployment("prod", withVerification(accepted, 0), withCounts(1, time.Hour))
	first.Deployment.Status = applyPlan(t, first)
	for name, tc := range map[string]struct {
		change option
		want   int32
		wake   time.Duration
	}{
		"written a second ago":        {withCounts(2, time.Second), 1, 4 * time.Second},
		"written just now":            {withCounts(2, 0), 1, 5 * time.Second},
		"written five seconds ago":    {withCounts(2, 5*time.Second), 2, each},
		"not written by this process": {func(o *Observation) { o.Sessions.Counts.Total = 2 }, 2, each},
		"no other count":              {withCounts(1, time.Second), 1, each},
		"no count in status": {func(o *Observation) {
			withCounts(2, time.Second)(o)
			o.Deployment.Status.Sessions = nil
		}, 2, each},
		"a condition changes, too": {func(o *Observation) {
			withCounts(2, time.Second)(o)
			o.Sessions.Duplicated = []string{"builds/ci"}
		}, 2, 4 * time.Second},
		"a reference is missing": {func(o *Observation) {
			withCounts(2, time.Second)(o)
			withProblem(true, "no key")(o)
		}, 2, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := first
			o.Deployment, o.CountsTime = first.Deployment.DeepCopy(), time.Time{}
			tc.change(&o)
			if got := applyPlan(t, o).Sessions.Total; got != tc.want {
				t.Errorf("status counts %d, want %d", got, tc.want)
			}
			if wake := Decide(o).RequeueAt.Sub(o.Now); wake != tc.wake {
				t.Errorf("looks again in %s, want %s", wake, tc.wake)
			}
		})
	}
}

// B161: of a minute in which a session is created each second, twelve writes are left, and the last one counts all.
func TestCountsOfAMinute(t *testing.T) {
	t.Parallel()
	o := newDeployment("prod", withVerification(accepted, 0))
	o.Deployment.Status = applyPlan(t, o)
	o.CountsTime = o.Now
	var last Plan
	writes := 0
	for second := range int32(60) {
		o.Now = o.Now.Add(time.Second)
		o.Sessions.Counts.Total = second + 1
		last = Decide(o)
		before := *o.Deployment.Status.DeepCopy()
		last.Apply(&o.Deployment.Status, o)
		if !cmp.Equal(before, o.Deployment.Status) {
			writes, o.CountsTime = writes+1, o.Now
		}
	}
	if total := o.Deployment.Status.Sessions.Total; writes != 12 || total != 60 {
		t.Errorf("%d writes, and %d sessions are counted", writes, total)
	}
}

// B161: what else follows from the sessions does not wait for the counters.
func TestOnlyCountsArePostponed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]option{
		"a token list for the first session that mints": func(o *Observation) {
			o.Sessions.Minting, o.TokenListing = true, TokenListing{}
		},
		"retention": func(o *Observation) {
			o.Deployment.Spec.Retention = &v1alpha1.Retention{MaxSessions: new(int32(1))}
			o.TokenListing.LastSuccessTime = o.Now
			for _, uid := range []string{"a", "b"} {
				o.Sessions.Candidates = append(o.Sessions.Candidates, Candidate{UID: uid, State: Active})
			}
		},
		"a deletion that waits": func(o *Observation) {
			withDeletion(o)
			o.Sessions.Allowed = []string{"builds/ci"}
		},
		"a deletion that waits no longer": withDeletion,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newDeployment("prod", withVerification(accepted, 0))
			o.Deployment.Status.Sessions = &v1alpha1.SessionCounts{}
			change(&o)
			prompt := Decide(o)
			withCounts(2, time.Second)(&o)
			postponed := Decide(o)
			if postponed.Action != prompt.Action {
				t.Errorf("the action is %q, want %q", postponed.Action, prompt.Action)
			}
			if diff := cmp.Diff(prompt.RetentionDecisions, postponed.RetentionDecisions); diff != "" {
				t.Errorf("other retention decisions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(prompt.Conditions, postponed.Conditions); diff != "" {
				t.Errorf("other conditions (-want +got):\n%s", diff)
			}
		})
	}
}

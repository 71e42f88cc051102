// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// who is a candidate that was active so long before noon, and was created long before.
func who(uid string, where RetentionState, ago time.Duration) Candidate {
	return Candidate{UID: uid, CreatedAt: noon.Add(-2000 * time.Hour), LastActive: noon.Add(-ago), State: where}
}

// ruled is what rulings say, by UID: the reason, or "return".
func ruled(rulings map[string]RetentionDecision) map[string]string {
	said := map[string]string{}
	for uid, r := range rulings {
		said[uid] = r.Reason
		if r.MayReturn {
			said[uid] = "return"
		}
	}
	return said
}

const (
	idle  = v1alpha1.RetirementIdle
	limit = v1alpha1.RetirementSessionLimit
)

// B27, B28
func TestRetire(t *testing.T) {
	t.Parallel()
	older := func(c Candidate) Candidate { c.CreatedAt = c.CreatedAt.Add(-time.Hour); return c }
	for name, tc := range map[string]struct {
		candidates []Candidate
		policy     Policy
		want       map[string]string
	}{
		"no retention: nobody goes": {
			[]Candidate{who("a", Active, 2000*time.Hour)}, Policy{}, map[string]string{},
		},
		"no retention any more: all return": {
			[]Candidate{who("a", Retired, 2000*time.Hour), who("b", Retired, 0), who("c", Exempt, 0)}, Policy{},
			map[string]string{"a": "return", "b": "return"},
		},
		"as many as the limit: nobody goes": {
			[]Candidate{who("a", Active, 3*time.Hour), who("b", Active, time.Hour)}, Policy{MaxSessions: 2}, map[string]string{},
		},
		"B27 one more: the least recently used one goes": {
			[]Candidate{who("b", Active, time.Hour), who("a", Active, 3*time.Hour), who("c", Active, 0)}, Policy{MaxSessions: 2}, map[string]string{"a": limit},
		},
		"active at the same time: the oldest goes": {
			[]Candidate{who("b", Active, time.Hour), older(who("a", Active, time.Hour))}, Policy{MaxSessions: 1}, map[string]string{"a": limit},
		},
		"and as old: by UID": {
			[]Candidate{who("b", Active, time.Hour), who("a", Active, time.Hour)}, Policy{MaxSessions: 1}, map[string]string{"a": limit},
		},
		"who is away counts for nobody's retirement, and is not retired": {
			[]Candidate{who("a", Active, 3*time.Hour), who("b", Exempt, 1000*time.Hour), who("c", Exempt, 0)}, Policy{MaxSessions: 1, IdleTimeout: 2 * time.Hour},
			map[string]string{"a": idle},
		},
		"who is away keeps its place: nobody returns to it": {
			[]Candidate{who("a", Exempt, 3*time.Hour), who("b", Retired, 0)}, Policy{MaxSessions: 1}, map[string]string{"b": limit},
		},
		"B28 an hour of grace, because the record may be an hour old": {
			[]Candidate{who("a", Active, 3*time.Hour), who("b", Active, 3*time.Hour-1)}, Policy{IdleTimeout: 2 * time.Hour}, map[string]string{"a": idle},
		},
		"idle ones go first, and make room": {
			[]Candidate{who("a", Active, 9*time.Hour), who("b", Active, 8*time.Hour), who("c", Active, time.Hour), who("d", Active, 0)}, Policy{MaxSessions: 2, IdleTimeout: 2 * time.Hour},
			map[string]string{"a": idle, "b": idle},
		},
		"the limit is raised: the most recently used ones return": {
			[]Candidate{who("a", Retired, 3*time.Hour), who("b", Retired, time.Hour), who("c", Retired, 2*time.Hour), who("d", Active, 0)}, Policy{MaxSessions: 3},
			map[string]string{"a": limit, "b": "return", "c": "return"},
		},
		"the timeout is raised: who would not be idle returns": {
			[]Candidate{who("a", Retired, 11*time.Hour), who("b", Retired, 10*time.Hour)}, Policy{IdleTimeout: 10 * time.Hour},
			map[string]string{"a": idle, "b": "return"},
		},
		"retired for the limit, and idle by now": {
			[]Candidate{who("a", Retired, 30*time.Hour)}, Policy{IdleTimeout: 10 * time.Hour, MaxSessions: 1}, map[string]string{"a": idle},
		},
		"who returns pushes nobody out": {
			[]Candidate{who("a", Active, 3*time.Hour), who("b", Retired, time.Hour)}, Policy{MaxSessions: 1}, map[string]string{"b": limit},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, ruled(DecideRetention(tc.candidates, tc.policy, noon))); diff != "" {
				t.Errorf("other rulings (-want +got):\n%s", diff)
			}
		})
	}
}

// A ruling says why, with the numbers of the spec and no time that changes.
func TestRulingsSayWhy(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{idle: "not seen its token used for 2h (retention.idleTimeout)", limit: "no more than 1 sessions"} {
		seen := DecideRetention([]Candidate{who("a", Active, 0), who("b", Active, time.Minute), who("c", Active, 9*time.Hour)}, Policy{MaxSessions: 1, IdleTimeout: 2 * time.Hour}, noon)
		later := DecideRetention([]Candidate{who("a", Active, 0), who("b", Active, time.Minute), who("c", Active, 9*time.Hour)}, Policy{MaxSessions: 1, IdleTimeout: 2 * time.Hour}, noon.Add(time.Second))
		uid := map[string]string{idle: "c", limit: "b"}[reason]
		if r := seen[uid]; r.Reason != reason || !strings.Contains(r.Message, want) || r.Message != later[uid].Message {
			t.Errorf("%s: %+v", uid, r)
		}
	}
}

func TestPolicyOf(t *testing.T) {
	t.Parallel()
	days, most := v1alpha1.Duration("720h"), int32(500)
	for name, tc := range map[string]struct {
		spec *v1alpha1.Retention
		want Policy
	}{
		"absent": {nil, Policy{}},
		"both":   {&v1alpha1.Retention{IdleTimeout: &days, MaxSessions: &most}, Policy{IdleTimeout: 720 * time.Hour, MaxSessions: 500}},
		"one":    {&v1alpha1.Retention{MaxSessions: &most}, Policy{MaxSessions: 500}},
	} {
		if got := PolicyOf(tc.spec); got != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Nobody is judged by what is not known: without a list, by an old one, or while the
// deployment is not verified or goes.
func TestRulingsNeedAList(t *testing.T) {
	t.Parallel()
	hours, most := v1alpha1.Duration("2h"), int32(1)
	with := func(options ...option) Observation {
		return deployment("prod", append([]option{verified(accepted, time.Minute), minting(accepted, time.Minute), func(o *Observation) {
			o.Deployment.Spec.Retention = &v1alpha1.Retention{IdleTimeout: &hours, MaxSessions: &most}
			o.Sessions.Candidates = []Candidate{who("a", Active, 3*time.Hour), who("b", Active, 0), who("c", Active, time.Hour)}
			o.TokenListing.LastSuccessTime = noon
		}}, options...)...)
	}
	for name, tc := range map[string]struct {
		seen Observation
		want map[string]string
	}{
		"the list is new":             {with(), map[string]string{"a": idle, "c": limit}},
		"no list is complete":         {with(func(o *Observation) { o.TokenListing.LastSuccessTime = time.Time{} }), map[string]string{}},
		"the last one is an hour old": {with(func(o *Observation) { o.TokenListing.LastSuccessTime = noon.Add(-time.Hour) }), map[string]string{"a": limit, "c": limit}},
		"the deployment is refused":   {with(verified(refused, time.Minute)), map[string]string{}},
		"the deployment goes":         {with(deleted), map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := Decide(tc.seen)
			if diff := cmp.Diff(tc.want, ruled(plan.RetentionDecisions)); plan.Action != Nothing || diff != "" {
				t.Errorf("does %q, other rulings (-want +got):\n%s", plan.Action, diff)
			}
		})
	}
}

// sessions from a fuzzer's bytes: three for each.
func sessionsFrom(data []byte) ([]Candidate, Policy) {
	next := func() int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b)
	}
	policy := Policy{MaxSessions: next() % 6, IdleTimeout: []time.Duration{0, 2 * time.Hour, 9 * time.Hour}[next()%3]}
	var candidates []Candidate
	for len(data) > 0 && len(candidates) < 24 {
		c := who(fmt.Sprintf("s%02d", len(candidates)), RetentionState(next()%3), time.Duration(next()%13)*time.Hour)
		c.CreatedAt = c.CreatedAt.Add(time.Duration(next()%3) * time.Minute)
		candidates = append(candidates, c)
	}
	return candidates, policy
}

// after is what becomes of the candidates. Who is away stays so.
func after(candidates []Candidate, rulings map[string]RetentionDecision) []Candidate {
	next := slices.Clone(candidates)
	for i := range next {
		switch r, ok := rulings[next[i].UID]; {
		case ok && r.MayReturn:
			next[i].State = Active
		case ok:
			next[i].State = Retired
		}
	}
	return next
}

func count(candidates []Candidate, where RetentionState) (n int) {
	for _, c := range candidates {
		if c.State == where {
			n++
		}
	}
	return n
}

// rulesWell holds what is true of every ruling; empty: it is.
func rulesWell(candidates []Candidate, policy Policy) string {
	rulings := DecideRetention(candidates, policy, noon)
	outcome := after(candidates, rulings)
	if diff := cmp.Diff(ruled(rulings), ruled(DecideRetention(reversed(candidates), policy, noon))); diff != "" {
		return "it goes by the order in which sessions are listed: " + diff
	}
	if diff := cmp.Diff(outcome, after(outcome, DecideRetention(outcome, policy, noon))); diff != "" {
		return "deciding again on the outcome changes it: " + diff
	}
	needed, returned := 0, 0
	for i, c := range candidates {
		gone := c.State == Active && outcome[i].State == Retired
		if policy.idle(c, noon) && c.State == Active && !gone {
			return c.UID + " is idle and kept"
		}
		if gone && rulings[c.UID].Reason == limit {
			needed++
		}
		if c.State == Retired && outcome[i].State == Active {
			returned++
			if policy.idle(c, noon) {
				return c.UID + " returns and is idle"
			}
		}
		for j, other := range candidates {
			if gone && other.State == Active && outcome[j].State == Active && other.LastActive.Before(c.LastActive) {
				return fmt.Sprintf("%s goes, and %s stays, which was active before it", c.UID, other.UID)
			}
			back := c.State == Retired && outcome[i].State == Active
			if back && other.State == Retired && outcome[j].State == Retired && !policy.idle(other, noon) && other.LastActive.After(c.LastActive) {
				return fmt.Sprintf("%s returns, and %s stays away, which was active after it", c.UID, other.UID)
			}
		}
		if c.State == Exempt && rulings[c.UID] != (RetentionDecision{}) {
			return c.UID + " is away and ruled on"
		}
	}
	kept, most := count(outcome, Active), policy.MaxSessions
	switch {
	case most == 0 && needed > 0, most > 0 && needed > 0 && kept != most:
		return fmt.Sprintf("%d go for a limit of %d, and %d stay", needed, most, kept)
	case most > 0 && kept > most:
		return fmt.Sprintf("%d are kept, with a limit of %d", kept, most)
	case most > 0 && returned > 0 && kept+count(outcome, Exempt) > most:
		return fmt.Sprintf("%d return where there is no room", returned)
	}
	return ""
}

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

// newCandidate is a session that was active so long before noon and was created long before.
func newCandidate(uid string, where RetentionState, ago time.Duration) Candidate {
	return Candidate{UID: uid, CreatedAt: noon.Add(-2000 * time.Hour), LastActive: noon.Add(-ago), State: where}
}

// decisionsByUID maps the UID to the reason of the decision, or to "return".
func decisionsByUID(decisions map[string]RetentionDecision) map[string]string {
	reasons := map[string]string{}
	for uid, r := range decisions {
		reasons[uid] = r.Reason
		if r.MayReturn {
			reasons[uid] = "return"
		}
	}
	return reasons
}

const (
	idle  = v1alpha1.RetirementIdle
	limit = v1alpha1.RetirementSessionLimit
)

// B27, B28
func TestDecideRetention(t *testing.T) {
	t.Parallel()
	older := func(c Candidate) Candidate { c.CreatedAt = c.CreatedAt.Add(-time.Hour); return c }
	for name, tc := range map[string]struct {
		candidates []Candidate
		policy     Policy
		want       map[string]string
	}{
		"no retention: none is retired": {
			[]Candidate{newCandidate("a", Active, 2000*time.Hour)}, Policy{}, map[string]string{},
		},
		"no retention any more: all return": {
			[]Candidate{
				newCandidate("a", Retired, 2000*time.Hour), newCandidate("b", Retired, 0), newCandidate("c", Exempt, 0),
			}, Policy{},
			map[string]string{"a": "return", "b": "return"},
		},
		"as many as the limit: none is retired": {
			[]Candidate{
				newCandidate("a", Active, 3*time.Hour), newCandidate("b", Active, time.Hour),
			}, Policy{MaxSessions: 2}, map[string]string{},
		},
		"B27 one more: the least recently used one goes": {
			[]Candidate{
				newCandidate("b", Active, time.Hour), newCandidate("a", Active, 3*time.Hour), newCandidate("c", Active, 0),
			}, Policy{MaxSessions: 2}, map[string]string{"a": limit},
		},
		"active at the same time: the oldest goes": {
			[]Candidate{
				newCandidate("b", Active, time.Hour), older(newCandidate("a", Active, time.Hour)),
			}, Policy{MaxSessions: 1}, map[string]string{"a": limit},
		},
		"and as old: by UID": {
			[]Candidate{
				newCandidate("b", Active, time.Hour), newCandidate("a", Active, time.Hour),
			}, Policy{MaxSessions: 1}, map[string]string{"a": limit},
		},
		"an exempt session causes no retirement, and is not retired": {
			[]Candidate{
				newCandidate("a", Active, 3*time.Hour), newCandidate("b", Exempt, 1000*time.Hour), newCandidate("c", Exempt, 0),
			}, Policy{MaxSessions: 1, IdleTimeout: 2 * time.Hour},
			map[string]string{"a": idle},
		},
		"an exempt session keeps its place: none returns to it": {
			[]Candidate{
				newCandidate("a", Exempt, 3*time.Hour), newCandidate("b", Retired, 0),
			}, Policy{MaxSessions: 1}, map[string]string{"b": limit},
		},
		"a paused one keeps its place, whenever it was used": {
			[]Candidate{newCandidate("a", Paused, 9*time.Hour), newCandidate("b", Active, 0)},
			Policy{MaxSessions: 1, IdleTimeout: 2 * time.Hour}, map[string]string{"b": limit},
		},
		"B136 pausing keeps nothing above the limit": {
			[]Candidate{
				newCandidate("a", Paused, 2*time.Hour), newCandidate("b", Paused, time.Hour), newCandidate("c", Paused, 0),
				newCandidate("d", Held, 3*time.Hour),
			}, Policy{MaxSessions: 3}, map[string]string{"a": limit},
		},
		"B136 nor does asking for what is not done": {
			[]Candidate{
				newCandidate("a", Held, 2*time.Hour), newCandidate("b", Held, time.Hour), newCandidate("c", Held, 0),
				newCandidate("d", Paused, 0), newCandidate("e", Active, 0),
			}, Policy{MaxSessions: 2}, map[string]string{"a": limit, "d": limit, "e": limit},
		},
		"B28 an hour of grace, because the record may be an hour old": {
			[]Candidate{
				newCandidate("a", Active, 3*time.Hour), newCandidate("b", Active, 3*time.Hour-1),
			}, Policy{IdleTimeout: 2 * time.Hour}, map[string]string{"a": idle},
		},
		"idle ones go first, and make room": {
			[]Candidate{
				newCandidate("a", Active, 9*time.Hour), newCandidate("b", Active, 8*time.Hour),
				newCandidate("c", Active, time.Hour), newCandidate("d", Active, 0),
			}, Policy{MaxSessions: 2, IdleTimeout: 2 * time.Hour},
			map[string]string{"a": idle, "b": idle},
		},
		"the limit is raised: the most recently used ones return": {
			[]Candidate{
				newCandidate("a", Retired, 3*time.Hour), newCandidate("b", Retired, time.Hour),
				newCandidate("c", Retired, 2*time.Hour), newCandidate("d", Active, 0),
			}, Policy{MaxSessions: 3},
			map[string]string{"a": limit, "b": "return", "c": "return"},
		},
		"the timeout is raised: a session that would not be idle returns": {
			[]Candidate{
				newCandidate("a", Retired, 11*time.Hour), newCandidate("b", Retired, 10*time.Hour),
			}, Policy{IdleTimeout: 10 * time.Hour},
			map[string]string{"a": idle, "b": "return"},
		},
		"retired for the limit, and idle by now": {
			[]Candidate{newCandidate("a", Retired, 30*time.Hour)}, Policy{
				IdleTimeout: 10 * time.Hour, MaxSessions: 1,
			}, map[string]string{"a": idle},
		},
		"a returning session retires no other": {
			[]Candidate{
				newCandidate("a", Active, 3*time.Hour), newCandidate("b", Retired, time.Hour),
			}, Policy{MaxSessions: 1}, map[string]string{"b": limit},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, decisionsByUID(DecideRetention(tc.candidates, tc.policy, noon))); diff != "" {
				t.Errorf("unexpected decisions (-want +got):\n%s", diff)
			}
		})
	}
}

// A decision has a message with the numbers of the spec and without times that change.
func TestDecisionsHaveMessages(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{
		idle: "not been used for 2h (retention.idleTimeout)", limit: "at most 1 sessions",
	} {
		seen := DecideRetention(
			[]Candidate{
				newCandidate("a", Active, 0), newCandidate("b", Active, time.Minute), newCandidate("c", Active, 9*time.Hour),
			},
			Policy{MaxSessions: 1, IdleTimeout: 2 * time.Hour}, noon,
		)
		later := DecideRetention(
			[]Candidate{
				newCandidate("a", Active, 0), newCandidate("b", Active, time.Minute), newCandidate("c", Active, 9*time.Hour),
			},
			Policy{MaxSessions: 1, IdleTimeout: 2 * time.Hour}, noon.Add(time.Second),
		)
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
		spec  *v1alpha1.Retention
		rules []v1alpha1.AccessRule
		want  Policy
	}{
		"absent": {nil, nil, Policy{}},
		"both": {
			&v1alpha1.Retention{IdleTimeout: &days, MaxSessions: &most}, nil,
			Policy{IdleTimeout: 720 * time.Hour, MaxSessions: 500},
		},
		"one": {&v1alpha1.Retention{MaxSessions: &most}, []v1alpha1.AccessRule{{Name: "a"}}, Policy{MaxSessions: 500}},
		"a rule's limit": {
			nil, []v1alpha1.AccessRule{{Name: "a"}, {Name: "b", MaxSessions: &most}},
			Policy{RuleLimits: map[string]int{"b": 500}},
		},
	} {
		got := PolicyOf(&v1alpha1.CoderDeploymentSpec{Retention: tc.spec, Access: tc.rules})
		if !cmp.Equal(got, tc.want) || got.IsZero() != (name == "absent") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// No decision is made on incomplete data: without a list, with an old one, or while the deployment
// is not verified or is being deleted.
func TestDecisionsNeedAList(t *testing.T) {
	t.Parallel()
	hours, most := v1alpha1.Duration("2h"), int32(1)
	with := func(options ...option) Observation {
		base := []option{withVerification(accepted, time.Minute), withMintingSession(accepted, time.Minute),
			func(o *Observation) {
				o.Deployment.Spec.Retention = &v1alpha1.Retention{IdleTimeout: &hours, MaxSessions: &most}
				o.Sessions.Candidates = []Candidate{
					newCandidate("a", Active, 3*time.Hour), newCandidate("b", Active, 0), newCandidate("c", Active, time.Hour),
				}
				o.TokenListing.LastSuccessTime = noon
			}}
		return newDeployment("prod", append(base, options...)...)
	}
	for name, tc := range map[string]struct {
		seen Observation
		want map[string]string
	}{
		"the list is new": {with(), map[string]string{"a": idle, "c": limit}},
		"no list is complete": {
			with(func(o *Observation) { o.TokenListing.LastSuccessTime = time.Time{} }), map[string]string{},
		},
		"the last one is an hour old": {
			with(func(o *Observation) { o.TokenListing.LastSuccessTime = noon.Add(-time.Hour) }),
			map[string]string{"a": limit, "c": limit},
		},
		"the deployment is refused": {with(withVerification(refused, time.Minute)), map[string]string{}},
		"the deployment goes":       {with(withDeletion), map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := Decide(tc.seen)
			diff := cmp.Diff(tc.want, decisionsByUID(plan.RetentionDecisions))
			if plan.Action != Nothing || diff != "" {
				t.Errorf("does %q, unexpected decisions (-want +got):\n%s", plan.Action, diff)
			}
		})
	}
}

// sessionsFrom makes candidates of a fuzzer's bytes: three bytes for each.
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
		c := newCandidate(
			fmt.Sprintf("s%02d", len(candidates)), RetentionState(next()%5), time.Duration(next()%13)*time.Hour,
		)
		c.CreatedAt = c.CreatedAt.Add(time.Duration(next()%3) * time.Minute)
		candidates = append(candidates, c)
	}
	return candidates, policy
}

// applyDecisions applies the decisions to the candidates. Exempt ones stay exempt.
func applyDecisions(candidates []Candidate, decisions map[string]RetentionDecision) []Candidate {
	next := slices.Clone(candidates)
	for i := range next {
		switch r, ok := decisions[next[i].UID]; {
		case ok && r.MayReturn:
			next[i].State = Active
		case ok:
			next[i].State = Retired
		}
	}
	return next
}

func countInState(candidates []Candidate, where RetentionState) (n int) {
	for _, c := range candidates {
		if c.State == where {
			n++
		}
	}
	return n
}

// checkDecisions checks what is true of all decisions; it returns what is wrong, or nothing.
func checkDecisions(candidates []Candidate, policy Policy) string {
	decisions := DecideRetention(candidates, policy, noon)
	outcome := applyDecisions(candidates, decisions)
	other := DecideRetention(reverseCandidates(candidates), policy, noon)
	if diff := cmp.Diff(decisionsByUID(decisions), decisionsByUID(other)); diff != "" {
		return "it goes by the order in which sessions are listed: " + diff
	}
	if diff := cmp.Diff(outcome, applyDecisions(outcome, DecideRetention(outcome, policy, noon))); diff != "" {
		return "deciding again on the outcome changes it: " + diff
	}
	needed, returned := 0, 0
	for i, c := range candidates {
		had := c.State == Active || c.State == Paused || c.State == Held
		gone := had && outcome[i].State == Retired
		if policy.isIdle(c, noon) && c.State == Active && !gone {
			return c.UID + " is idle and kept"
		}
		if gone && c.State != Active && (decisions[c.UID].Reason != limit || countInState(outcome, Active) > 0) {
			return c.UID + " is paused or held, and goes although an active one stays, or for being idle"
		}
		if gone && c.State == Held && countInState(outcome, Paused) > 0 {
			return c.UID + " is held, and goes although a paused one stays"
		}
		if gone && decisions[c.UID].Reason == limit {
			needed++
		}
		if c.State == Retired && outcome[i].State == Active {
			returned++
			if policy.isIdle(c, noon) {
				return c.UID + " returns and is idle"
			}
		}
		for j, other := range candidates {
			if gone && other.State == c.State && outcome[j].State == c.State && other.LastActive.Before(c.LastActive) {
				return fmt.Sprintf("%s goes, and %s stays, which was active before it", c.UID, other.UID)
			}
			back := c.State == Retired && outcome[i].State == Active
			stays := other.State == Retired && outcome[j].State == Retired && !policy.isIdle(other, noon)
			if back && stays && other.LastActive.After(c.LastActive) {
				return fmt.Sprintf("%s returns, and %s stays away, which was active after it", c.UID, other.UID)
			}
		}
		if c.State == Exempt && decisions[c.UID] != (RetentionDecision{}) {
			return c.UID + " is exempt, and has a decision"
		}
	}
	kept := countInState(outcome, Active) + countInState(outcome, Paused) + countInState(outcome, Held)
	most := policy.MaxSessions
	switch {
	case most == 0 && needed > 0, most > 0 && needed > 0 && kept != most:
		return fmt.Sprintf("%d go for a limit of %d, and %d stay", needed, most, kept)
	case most > 0 && kept > most:
		return fmt.Sprintf("%d are kept, with a limit of %d", kept, most)
	case most > 0 && returned > 0 && kept+countInState(outcome, Exempt) > most:
		return fmt.Sprintf("%d return where there is no room", returned)
	}
	return ""
}

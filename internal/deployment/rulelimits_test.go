// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// B136: limits of access rules come first, and new sessions of one rule retire none of another.
func TestLimitsOfAccessRules(t *testing.T) {
	t.Parallel()
	of := func(rule, uid string, where RetentionState, used, since time.Duration) Candidate {
		c := newCandidate(uid, where, used)
		c.Rule, c.Since = rule, noon.Add(-since)
		return c
	}
	victim := []Candidate{
		of("a", "a1", Active, 90*time.Hour, 99*time.Hour), of("a", "a2", Active, 80*time.Hour, 98*time.Hour),
		of("a", "a3", Active, 70*time.Hour, 97*time.Hour),
	}
	flood := []Candidate{
		of("b", "b1", Active, 0, 4*time.Hour), of("b", "b2", Active, time.Minute, 3*time.Hour),
		of("b", "b3", Active, 2*time.Minute, 2*time.Hour), of("b", "b4", Active, 3*time.Minute, time.Hour),
	}
	both := slices.Concat(victim, flood)
	limits := map[string]int{"b": 2}
	for name, tc := range map[string]struct {
		candidates []Candidate
		policy     Policy
		want       map[string]string
	}{
		"no limit is passed": {both, Policy{MaxSessions: 7}, map[string]string{}},
		"the rule's limit":   {both, Policy{RuleLimits: limits}, map[string]string{"b3": limit, "b4": limit}},
		"the rule's limit is first": {
			both, Policy{MaxSessions: 5, RuleLimits: limits}, map[string]string{"b3": limit, "b4": limit},
		},
		"the deployment's limit: new sessions retire their own": {
			both, Policy{MaxSessions: 4}, map[string]string{"b2": limit, "b3": limit, "b4": limit},
		},
		"also if there is no place for any": {
			both, Policy{MaxSessions: 3}, map[string]string{"b1": limit, "b2": limit, "b3": limit, "b4": limit},
		},
		"the deployment's limit and the rule's": {
			both, Policy{MaxSessions: 4, RuleLimits: limits}, map[string]string{"b2": limit, "b3": limit, "b4": limit},
		},
		"an own limit below what there is": {
			both, Policy{RuleLimits: map[string]int{"a": 1}}, map[string]string{"a1": limit, "a2": limit},
		},
		"a session that a person renews does not displace earlier ones": {
			append(slices.Clone(victim), of("b", "b1", Active, 0, time.Minute)), Policy{MaxSessions: 3},
			map[string]string{"b1": limit},
		},
		"a retired one returns within its rule's limit only": {
			[]Candidate{of("b", "b1", Active, 0, 0), of("b", "b2", Retired, 0, 0), of("a", "a1", Retired, time.Hour, 0)},
			Policy{MaxSessions: 9, RuleLimits: map[string]int{"b": 1}}, map[string]string{"b2": limit, "a1": "return"},
		},
		"held ones take the places of others of their rule": {
			[]Candidate{
				of("b", "b1", Held, 0, 0), of("b", "b2", Held, 0, 0), of("b", "b3", Active, 0, 0), of("a", "a1", Active, 0, 0),
			},
			Policy{RuleLimits: limits}, map[string]string{"b3": limit},
		},
		"held ones above the limit retire none of another rule": {
			append(slices.Clone(victim), of("b", "b1", Held, 0, 2*time.Hour), of("b", "b2", Active, 0, time.Hour)),
			Policy{MaxSessions: 3}, map[string]string{"b1": limit, "b2": limit},
		},
		"held ones keep their places against returning ones": {
			[]Candidate{of("b", "b1", Held, 0, 0), of("b", "b2", Retired, 0, time.Hour)},
			Policy{MaxSessions: 1}, map[string]string{"b2": limit},
		},
		"those that never get a token keep none of another rule away": {
			[]Candidate{
				of("b", "b1", Exempt, 0, 2*time.Hour), of("b", "b2", Exempt, 0, time.Hour),
				of("a", "a1", Retired, time.Hour, 9*time.Hour), of("b", "b3", Retired, 2*time.Hour, 9*time.Hour),
			},
			Policy{MaxSessions: 2}, map[string]string{"a1": "return", "b3": limit},
		},
		"those that were asked for earlier keep their places": {
			[]Candidate{of("b", "b1", Exempt, 0, 9*time.Hour), of("a", "a1", Retired, time.Hour, 2*time.Hour)},
			Policy{MaxSessions: 1}, map[string]string{"a1": limit},
		},
		"one that waits for its workspace keeps its place in the rule": {
			[]Candidate{of("b", "b1", Exempt, 0, 0), of("b", "b2", Retired, 0, 0)},
			Policy{RuleLimits: map[string]int{"b": 1}}, map[string]string{"b2": limit},
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

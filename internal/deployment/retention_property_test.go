// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func reverseCandidates(candidates []Candidate) []Candidate {
	other := slices.Clone(candidates)
	slices.Reverse(other)
	return other
}

// B27, B28: whatever the sessions, no session is retired before one that was used earlier, no more
// sessions are retired than needed, and deciding again changes nothing.
func TestRetentionProperties(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 11))
	seen := map[string]int{}
	for range 4000 {
		data := make([]byte, 2+random.IntN(60))
		for i := range data {
			data[i] = byte(random.UintN(256))
		}
		candidates, policy := sessionsFrom(data)
		if what := checkDecisions(candidates, policy); what != "" {
			t.Fatalf("%s\npolicy %+v\n%+v", what, policy, candidates)
		}
		for _, reason := range decisionsByUID(DecideRetention(candidates, policy, noon)) {
			seen[reason]++
		}
	}
	for _, reason := range []string{idle, limit, "return"} {
		if seen[reason] < 100 {
			t.Errorf("only %d decisions are %q", seen[reason], reason)
		}
	}
}

// B27: a session that returns on request is not retired at once, and at most one other session is
// retired for it.
func TestAReturningSessionStays(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 5))
	for range 2000 {
		data := make([]byte, 20+random.IntN(40))
		for i := range data {
			data[i] = byte(random.UintN(256))
		}
		candidates, policy := sessionsFrom(data)
		candidates = applyDecisions(candidates, DecideRetention(candidates, policy, noon))
		was := countInState(candidates, Exempt)
		at := slices.IndexFunc(candidates, func(c Candidate) bool { return c.State == Retired })
		if at < 0 {
			continue
		}
		candidates[at].State, candidates[at].LastActive = Exempt, noon.Add(time.Minute)
		decisions := DecideRetention(candidates, policy, noon.Add(time.Minute))
		if r, ok := decisions[candidates[at].UID]; ok {
			t.Fatalf("it is retired at once: %+v", r)
		}
		if now := countInState(applyDecisions(candidates, decisions), Exempt); now < was {
			t.Fatalf("%d were kept, %d are", was, now)
		}
	}
}

func FuzzDecideRetention(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{2, 1, 1, 3, 0, 1, 4, 0, 2, 1, 0, 1, 9, 0, 0, 2, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		candidates, policy := sessionsFrom(data)
		if what := checkDecisions(candidates, policy); what != "" {
			t.Fatalf("%s\npolicy %+v\n%+v", what, policy, candidates)
		}
	})
}

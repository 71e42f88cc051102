// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func reversed(candidates []Candidate) []Candidate {
	other := slices.Clone(candidates)
	slices.Reverse(other)
	return other
}

// B27, B28: whatever sessions there are, nobody is retired before somebody who was used
// earlier, no more than needed go, and who is decided about once stays so.
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
		if what := rulesWell(candidates, policy); what != "" {
			t.Fatalf("%s\npolicy %+v\n%+v", what, policy, candidates)
		}
		for _, said := range ruled(DecideRetention(candidates, policy, noon)) {
			seen[said]++
		}
	}
	for _, said := range []string{idle, limit, "return"} {
		if seen[said] < 100 {
			t.Errorf("only %d rulings are %q", seen[said], said)
		}
	}
}

// B27: who returns on request is not retired at once, and costs one other its place.
func TestWhoReturnsStays(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 5))
	for range 2000 {
		data := make([]byte, 20+random.IntN(40))
		for i := range data {
			data[i] = byte(random.UintN(256))
		}
		candidates, policy := sessionsFrom(data)
		candidates = after(candidates, DecideRetention(candidates, policy, noon))
		was := count(candidates, Exempt)
		at := slices.IndexFunc(candidates, func(c Candidate) bool { return c.State == Retired })
		if at < 0 {
			continue
		}
		candidates[at].State, candidates[at].LastActive = Exempt, noon.Add(time.Minute)
		rulings := DecideRetention(candidates, policy, noon.Add(time.Minute))
		if r, ok := rulings[candidates[at].UID]; ok {
			t.Fatalf("it is retired at once: %+v", r)
		}
		if now := count(after(candidates, rulings), Exempt); now < was {
			t.Fatalf("%d were kept, %d are", was, now)
		}
	}
}

func FuzzRetire(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{2, 1, 1, 3, 0, 1, 4, 0, 2, 1, 0, 1, 9, 0, 0, 2, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		candidates, policy := sessionsFrom(data)
		if what := rulesWell(candidates, policy); what != "" {
			t.Fatalf("%s\npolicy %+v\n%+v", what, policy, candidates)
		}
	})
}

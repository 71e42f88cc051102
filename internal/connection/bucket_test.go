// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"slices"
	"testing"
	"time"
)

// emptyBucket returns a bucket of one token a second, bursts of ten, that is empty at the time.
func emptyBucket(t *testing.T, now time.Duration) *bucket {
	t.Helper()
	b := new(bucket)
	b.setRate(now, 60)
	for range 10 {
		if turn, ok := b.reserve(now, Urgent, now); !ok || turn > now {
			t.Fatalf("token at %s, %t", turn, ok)
		}
	}
	return b
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	now := time.Hour
	for name, tc := range map[string]struct {
		asks  []Priority
		pause time.Duration
		want  []float64 // seconds
	}{
		"a token each":        {[]Priority{Urgent, Urgent, Urgent}, 0, []float64{1, 2, 3}},
		"two of ten are kept": {[]Priority{First, First}, 0, []float64{3, 4}},
		"four are kept":       {[]Priority{Routine, Routine}, 0, []float64{5, 6}},
		"after higher ones":   {[]Priority{Urgent, Urgent, First, Routine}, 0, []float64{1, 2, 5, 8}},
		"before lower ones":   {[]Priority{Routine, First, Urgent, Routine}, 0, []float64{5, 3, 1, 6}},
		"half a token later":  {slices.Repeat([]Priority{Urgent}, 8), 0, []float64{1, 2, 3, 4, 5, 6, 6.5, 7}},
		"after a pause":       {[]Priority{Urgent, Urgent}, 20 * time.Second, []float64{20, 21}},
		"a short pause":       {[]Priority{Urgent, Urgent}, time.Millisecond, []float64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := emptyBucket(t, now)
			if tc.pause > 0 {
				b.pauseUntil(now + tc.pause)
			}
			var got []float64
			for _, priority := range tc.asks {
				got = append(got, (b.nextPlace(now, priority, "") - now).Seconds())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("places after %v s, want %v", got, tc.want)
			}
		})
	}
}

// A caller that would wait too long is told a time in the second half of the longest wait, each another.
func TestNoPlaceIsTooFarAway(t *testing.T) {
	t.Parallel()
	now := time.Hour
	b := emptyBucket(t, now)
	places := map[time.Duration]int{}
	for range 1000 {
		place := b.nextPlace(now, Urgent, "")
		places[place]++
		if place > now+maxRetryAfter || len(places) > 60 && place < now+maxRetryAfter/2 {
			t.Fatalf("place after %s", place-now)
		}
		if places[place] > 17 {
			t.Fatalf("%d callers are told %s", places[place], place-now)
		}
	}
}

func TestThePlacesOfCallersThatLeftAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Hour
	b := emptyBucket(t, now)
	for range 1000 {
		b.nextPlace(now, Urgent, "")
	}
	now += 11 * time.Second
	for range 10 {
		b.reserve(now, Urgent, now)
	}
	if place := b.nextPlace(now, Urgent, ""); place != now+time.Second {
		t.Errorf("place after %s, want a second", place-now)
	}
}

func TestATokenIsReservedIfItComesInTime(t *testing.T) {
	t.Parallel()
	now := time.Hour
	b := emptyBucket(t, now)
	if _, ok := b.reserve(now, Urgent, now+time.Second-1); ok {
		t.Error("a token was reserved that comes too late")
	}
	for i := 1; i <= 3; i++ {
		if turn, ok := b.reserve(now, Urgent, now+time.Minute); !ok || turn != now+time.Duration(i)*time.Second {
			t.Errorf("token after %s, %t", turn-now, ok)
		}
	}
	b.giveBack()
	if turn, _ := b.reserve(now, Urgent, now+time.Minute); turn != now+3*time.Second {
		t.Errorf("token after %s, want the one that was given back", turn-now)
	}
	b.pauseUntil(now + time.Minute)
	b.giveBack()
	if turn, _ := b.reserve(now, Urgent, now+time.Hour); turn != now+time.Minute {
		t.Errorf("token after %s, want the first after the pause", turn-now)
	}
}

func TestAnotherRateKeepsTheTokens(t *testing.T) {
	t.Parallel()
	now := time.Hour
	b := emptyBucket(t, now)
	now += 5 * time.Second // five tokens
	for _, rate := range []int32{600, 600, 60, 120} {
		b.setRate(now, rate)
		if got := float64(now-b.empty) / float64(b.interval); got != 5 {
			t.Errorf("%d a minute: %v tokens, want 5", rate, got)
		}
	}
	b.setRate(now, 0)
	if b.interval != 200*time.Millisecond || b.burst != 50 {
		t.Errorf("the default is a token each %s, bursts of %d", b.interval, b.burst)
	}
	b.pauseUntil(now + time.Minute)
	b.setRate(now, 60)
	if turn, _ := b.reserve(now, Urgent, now+time.Hour); turn != now+time.Minute {
		t.Errorf("token after %s, want the end of the pause", turn-now)
	}
}

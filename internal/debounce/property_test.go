// SPDX-License-Identifier: Apache-2.0

package debounce_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
)

// tick is the unit of time in the property test: all durations are multiples of it.
const tick = 10 * time.Millisecond

// burst is the test's own record of an open window.
type burst struct {
	first, last time.Duration
	window      debounce.Window
}

// B04, B05: every Mark is followed by a call of fire, at most MaxDelay after the first Mark of its
// window, and not before Quiet has passed since the last one unless that limit is reached.
func TestEveryMarkIsFollowedByOneFireInTime(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) { checkProperty(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func checkProperty(t *testing.T, random *rand.Rand) {
	h := newHarness()
	open := make(map[string]burst)
	counted := make(map[string]int)
	for now := time.Duration(0); now < 20*time.Second; now += tick {
		for key, b := range open {
			fired := h.fired[key][counted[key]:]
			over := now >= b.last+b.window.Quiet || now >= b.first+b.window.MaxDelay
			switch {
			case over && (len(fired) != 1 || fired[0] != now):
				t.Fatalf("at %v %s fired at %v, want once, now: %+v", now, key, fired, b)
			case !over && len(fired) != 0:
				t.Fatalf("at %v %s fired at %v, too early: %+v", now, key, fired, b)
			case h.Settling(key) == over:
				t.Fatalf("at %v Settling(%s) is %t: %+v", now, key, !over, b)
			}
			if over {
				counted[key]++
				delete(open, key)
			}
		}
		// Pauses between the bursts, so that both ends of a window occur.
		if busy := now/time.Second%3 != 2; busy {
			markSome(h, random, open, now)
		}
		h.pass(tick)
	}
	total := 0
	for _, n := range counted {
		total += n
	}
	if total < 50 {
		t.Errorf("only %d windows were seen", total)
	}
}

// markSome marks some keys, some of them more than once, and sometimes forgets one.
func markSome(h *harness, random *rand.Rand, open map[string]burst, now time.Duration) {
	for i := range 8 {
		key := fmt.Sprint("deployment-", i)
		if random.IntN(100) == 0 {
			h.Forget(key)
			delete(open, key)
		}
		for random.IntN(6) == 0 {
			quiet := tick * time.Duration(1+random.IntN(20))
			b, ok := open[key]
			if !ok {
				b.first = now
			}
			b.last = now
			b.window = debounce.Window{Quiet: quiet, MaxDelay: quiet + tick*time.Duration(random.IntN(100))}
			open[key] = b
			h.Mark(key, b.window)
		}
	}
}

// Many goroutines, with time that only advances when all of them are idle.
func TestConcurrentMarksAreNotLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const keys, writers, marks = 10, 8, 50
		var fires [keys]atomic.Int64 // marks seen by the last fire
		var marked [keys]atomic.Int64
		d := debounce.New(clock.RealClock{}, func(key int) { fires[key].Store(marked[key].Load()) })
		var done sync.WaitGroup
		for w := range writers {
			done.Go(func() {
				random := rand.New(rand.NewPCG(uint64(w), 2))
				for range marks {
					key := random.IntN(keys)
					marked[key].Add(1)
					d.Mark(key, window)
					<-time.After(time.Duration(random.IntN(int(time.Second))))
				}
			})
		}
		done.Wait()
		<-time.After(window.MaxDelay)
		synctest.Wait()
		for key := range keys {
			if seen, all := fires[key].Load(), marked[key].Load(); seen != all {
				t.Errorf("key %d: the last fire saw %d of %d marks", key, seen, all)
			}
			if d.Settling(key) {
				t.Errorf("key %d is still settling", key)
			}
		}
	})
}

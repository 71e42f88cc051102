// SPDX-License-Identifier: Apache-2.0

package debounce_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
)

var (
	start  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	window = debounce.Window{Quiet: 500 * time.Millisecond, MaxDelay: 5 * time.Second}
)

// harness drives a Debouncer with a fake clock and records when it fires, as time since the start.
type harness struct {
	*debounce.Debouncer[string]
	clock *clocktesting.FakeClock

	mu    sync.Mutex
	fired map[string][]time.Duration
}

func newHarness() *harness {
	h := &harness{clock: clocktesting.NewFakeClock(start), fired: make(map[string][]time.Duration)}
	h.Debouncer = debounce.New(h.clock, h.note)
	return h
}

func (h *harness) note(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fired[key] = append(h.fired[key], h.clock.Now().Sub(start))
}

// pass advances the clock and waits until everything that is due has run.
func (h *harness) pass(d time.Duration) {
	h.clock.Step(d)
	synctest.Wait()
}

func (h *harness) wantFired(t *testing.T, key string, want ...time.Duration) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if diff := cmp.Diff(want, slices.Clone(h.fired[key])); diff != "" {
		t.Errorf("at %v, %s fired (-want +got):\n%s", h.clock.Now().Sub(start), key, diff)
	}
}

func (h *harness) wantSettling(t *testing.T, key string, want bool) {
	t.Helper()
	if got := h.Settling(key); got != want {
		t.Errorf("at %v, Settling(%s) is %t, want %t", h.clock.Now().Sub(start), key, got, want)
	}
}

// inBubble runs a scenario in a synctest bubble, in which waiting for all goroutines takes no real
// time.
func inBubble(t *testing.T, scenario func(*testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, scenario)
}

// B04
func TestABurstFiresOnceWhenItIsOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newHarness()
		h.wantSettling(t, "prod", false)
		for range 6 {
			h.Mark("prod", window)
			h.wantSettling(t, "prod", true)
			h.pass(300 * time.Millisecond)
		}
		h.pass(200*time.Millisecond - 1) // the last Mark was at 1.5 s
		h.wantFired(t, "prod")
		h.wantSettling(t, "prod", true)
		h.pass(1)
		h.wantFired(t, "prod", 2*time.Second)
		h.wantSettling(t, "prod", false)
		h.pass(time.Minute)
		h.wantFired(t, "prod", 2*time.Second)
	})
}

// B05
func TestAWriterThatNeverPausesIsHeardEveryMaxDelay(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newHarness()
		for range 160 {
			h.Mark("prod", window)
			h.pass(100 * time.Millisecond)
		}
		// A Mark at the end of a window belongs to the next one.
		h.wantFired(t, "prod", 5*time.Second, 10*time.Second, 15*time.Second)
		h.wantSettling(t, "prod", true)
	})
}

// B06: an event that arrives while the previous one is being handled is handled later.
func TestAMarkWhileFireRunsOpensANewWindow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fake := clocktesting.NewFakeClock(start)
		begun, proceed := make(chan string), make(chan struct{})
		d := debounce.New(fake, func(key string) {
			begun <- key
			<-proceed
		})
		d.Mark("prod", window)
		fake.Step(window.Quiet)
		<-begun
		if d.Settling("prod") {
			t.Error("settling although fire was called")
		}
		d.Mark("prod", window)
		if !d.Settling("prod") {
			t.Error("the Mark during fire is lost")
		}
		proceed <- struct{}{}
		fake.Step(window.Quiet)
		<-begun
		proceed <- struct{}{}
	})
}

func TestFireMayCallEveryMethod(t *testing.T) {
	for name, tc := range map[string]struct {
		call  func(d *debounce.Debouncer[string], key string)
		fired int // within three quiet periods
	}{
		"Mark":     {func(d *debounce.Debouncer[string], key string) { d.Mark(key, window) }, 3},
		"Settling": {func(d *debounce.Debouncer[string], key string) { d.Settling(key) }, 1},
		"Forget":   {func(d *debounce.Debouncer[string], key string) { d.Mark(key, window); d.Forget(key) }, 1},
		"Stop":     {func(d *debounce.Debouncer[string], key string) { d.Mark(key, window); d.Stop() }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				fake := clocktesting.NewFakeClock(start)
				var d *debounce.Debouncer[string]
				fired := 0
				d = debounce.New(fake, func(key string) {
					fired++
					fake.Now() // the clock is not locked either
					tc.call(d, key)
				})
				d.Mark("prod", window)
				for range 3 {
					fake.Step(window.Quiet)
					synctest.Wait()
				}
				if fired != tc.fired {
					t.Errorf("fired %d times, want %d", fired, tc.fired)
				}
			})
		})
	}
}

func TestKeysDoNotDisturbEachOther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newHarness()
		h.Mark("a", window)
		h.pass(200 * time.Millisecond)
		h.Mark("b", debounce.Window{Quiet: 100 * time.Millisecond, MaxDelay: time.Second})
		h.pass(100 * time.Millisecond)
		h.Forget("c")
		h.wantSettling(t, "a", true)
		h.wantSettling(t, "b", false)
		h.pass(200 * time.Millisecond)
		h.wantFired(t, "a", 500*time.Millisecond)
		h.wantFired(t, "b", 300*time.Millisecond)
		h.wantFired(t, "c")
	})
}

func TestTheLastWindowCounts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newHarness()
		h.Mark("shorter", debounce.Window{Quiet: time.Hour, MaxDelay: time.Hour})
		h.Mark("longer", window)
		h.pass(100 * time.Millisecond)
		h.Mark("shorter", window)
		h.Mark("longer", debounce.Window{Quiet: 2 * time.Second, MaxDelay: 5 * time.Second})
		h.pass(500 * time.Millisecond)
		h.pass(1500 * time.Millisecond)
		h.wantFired(t, "shorter", 600*time.Millisecond)
		h.wantFired(t, "longer", 2100*time.Millisecond)
	})
}

func TestACapBelowTheQuietPeriodTakesItsPlace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newHarness()
		h.Mark("prod", debounce.Window{Quiet: time.Minute, MaxDelay: time.Second})
		h.pass(time.Second)
		h.wantFired(t, "prod", time.Second)
	})
}

func TestForgetDropsTheWindow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newHarness()
		h.Mark("prod", window)
		h.Forget("prod")
		h.wantSettling(t, "prod", false)
		if h.clock.HasWaiters() {
			t.Error("a timer is left")
		}
		h.pass(time.Minute)
		h.wantFired(t, "prod")
		h.Mark("prod", window)
		h.pass(window.Quiet)
		h.wantFired(t, "prod", time.Minute+window.Quiet)
	})
}

func TestStopEndsEverything(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newHarness()
		h.Mark("a", window)
		h.Mark("b", window)
		h.Stop()
		h.Stop()
		h.Mark("c", window)
		if h.clock.HasWaiters() {
			t.Error("a timer is left")
		}
		h.pass(time.Minute)
		for _, key := range []string{"a", "b", "c"} {
			h.wantSettling(t, key, false)
			h.wantFired(t, key)
		}
	})
}

// lateClock has timers whose Stop comes too late: they fire anyway.
type lateClock struct{ *clocktesting.FakeClock }

func (c lateClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	return lateTimer{c.FakeClock.AfterFunc(d, f)}
}

type lateTimer struct{ clock.Timer }

func (lateTimer) Stop() bool { return false }

func TestATimerThatWasAboutToRunHarmsNothing(t *testing.T) {
	for name, disturb := range map[string]func(*debounce.Debouncer[string]){
		"prolonged": func(d *debounce.Debouncer[string]) { d.Mark("prod", window) },
		"forgotten and marked": func(d *debounce.Debouncer[string]) {
			d.Forget("prod")
			d.Mark("prod", window)
		},
		"shortened": func(d *debounce.Debouncer[string]) {
			d.Mark("prod", debounce.Window{Quiet: time.Millisecond, MaxDelay: time.Second})
			d.Mark("prod", window)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				h := newHarness()
				h.Debouncer = debounce.New(lateClock{h.clock}, h.note)
				h.Mark("prod", window)
				h.pass(400 * time.Millisecond)
				disturb(h.Debouncer)
				h.pass(499 * time.Millisecond) // the first timer runs
				h.wantFired(t, "prod")
				h.pass(time.Millisecond)
				h.wantFired(t, "prod", 900*time.Millisecond)
				h.pass(time.Minute)
				h.wantFired(t, "prod", 900*time.Millisecond)
			})
		})
	}
	t.Run("stopped", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			h := newHarness()
			h.Debouncer = debounce.New(lateClock{h.clock}, h.note)
			h.Mark("prod", window)
			h.Stop()
			h.pass(time.Minute)
			h.wantFired(t, "prod")
		})
	})
}

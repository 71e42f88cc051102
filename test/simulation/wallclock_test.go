// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"slices"
	"testing"
	"time"
	"unsafe"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// operatorClock is the clock of the operator's machine. Its times are like those of time.Now: two
// of them are compared by the monotonic clock, which cannot be set and stands still while the
// machine sleeps. Times that were stored are compared by the wall clock.
type operatorClock struct {
	*simClock
	w *simWorld
}

// Now returns the time by the wall clock, with a monotonic reading.
func (c operatorClock) Now() time.Time {
	return withMonotonic(c.w.wall(), c.simClock.Now().Sub(simStart)+time.Second)
}

// Since returns the time that has passed by the monotonic clock.
func (c operatorClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// rawTime is the memory of a time.Time, see its source.
type rawTime struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

// withMonotonic adds a reading of the monotonic clock to a time. The standard library only does
// that in time.Now.
func withMonotonic(t time.Time, reading time.Duration) time.Time {
	const fromUnixTo1885 = 2682288000 // seconds
	raw := rawTime{
		wall: 1<<63 | uint64(t.Unix()+fromUnixTo1885)<<30 | uint64(t.Nanosecond()),
		ext:  int64(reading),
	}
	return *(*time.Time)(unsafe.Pointer(&raw))
}

// TestMonotonicTimes checks the times of the simulated clock.
func TestMonotonicTimes(t *testing.T) {
	t.Parallel()
	early := withMonotonic(simStart.Add(5*time.Hour+time.Nanosecond), time.Minute)
	late := withMonotonic(simStart, time.Hour) // the clock was set back
	if !late.After(early) || late.Sub(early) != 59*time.Minute {
		t.Errorf("between them are %s, want 59m", late.Sub(early))
	}
	if stored := early.Round(0); !stored.Equal(simStart.Add(5*time.Hour+time.Nanosecond)) || !stored.After(late) {
		t.Errorf("stored as %s", stored)
	}
}

// truth is the time of the world; the machines with the API server and the Coder servers do not
// sleep when the operator's does.
func (w *simWorld) truth() time.Time { return w.clock.Now().Add(w.slept) }

// wall is the wall clock of the operator's machine.
func (w *simWorld) wall() time.Time { return w.truth().Add(w.drift) }

// setSkew sets the clock of a server.
func (c *simCoder) setSkew(skew time.Duration) {
	c.skew = skew
	c.server.SetClockOffset(c.w.slept + skew)
	c.w.disturb()
}

var clockEvents = []string{"the wall clock is set", "a server's clock is far off", "the machine sleeps"}

var clockChanges = []func(*simWorld){
	(*simWorld).setClock, (*simWorld).setClock, (*simWorld).correctClock, (*simWorld).skewFar, (*simWorld).sleep,
	(*simWorld).sleep,
}

func (w *simWorld) setClock() {
	hours := time.Duration(w.rng.IntN(21)-10) * time.Hour
	w.setDrift(hours + w.jitter(time.Hour))
}

func (w *simWorld) correctClock() { w.setDrift(0) }

func (w *simWorld) setDrift(d time.Duration) {
	w.tracef("* the operator's clock is set %s ahead", d)
	w.happens("the wall clock is set")
	w.drift = d
	w.disturb()
}

func (w *simWorld) skewFar() {
	d := time.Duration(w.rng.IntN(13)-6) * time.Hour
	w.tracef("* the server's clock is %s ahead", d)
	w.happens("a server's clock is far off")
	pick(w, w.coders).setSkew(d)
}

func (w *simWorld) sleep() {
	w.sleepFor(pick(w, []time.Duration{20 * time.Minute, 3 * time.Hour, 10 * time.Hour}) + w.jitter(time.Hour))
}

// sleepFor makes the operator's machine sleep: time passes, and no timer fires.
func (w *simWorld) sleepFor(d time.Duration) {
	w.tracef("* the machine sleeps for %s", d)
	w.happens("the machine sleeps")
	w.slept += d
	for _, c := range w.coders {
		c.setSkew(c.skew)
		w.cutStreams(c)
	}
	w.disturb()
}

// correctClocks ends all faults of clocks.
func (w *simWorld) correctClocks() {
	for _, c := range w.coders {
		for name := range c.told {
			c.told[name] += min(w.drift, 0) // the correction of a clock that was behind lets no token expire
		}
		if c.skew.Abs() > 10*time.Minute {
			c.setSkew(0)
		}
	}
	w.drift = 0
}

// slumber checks that after the machine has slept, what was due is done within an interval (B115).
func (w *simWorld) slumber() {
	w.sleepFor(time.Duration(1+w.rng.IntN(12)) * time.Hour)
	w.write("own", w.valid("own")) // it may have expired
	w.run(2 * simNotice)
	if len(w.problems) == 0 {
		w.settled()
	}
}

// otherTime checks that sessions stay Ready while the wall clock is off by hours, and after it was
// corrected (B115).
func (w *simWorld) otherTime() {
	w.setDrift(time.Duration(1+w.rng.IntN(9)) * pick(w, []time.Duration{time.Hour, -time.Hour}))
	w.run(2 * simNotice)
	for _, s := range w.sessions() {
		fine := []string{v1alpha1.ReasonActive, v1alpha1.ReasonRetired, v1alpha1.ReasonServingPods}
		if reason := reasonOfSession(s); !slices.Contains(fine, reason) {
			w.fail("B115: with a clock that is %s ahead session %s is %s: %s",
				w.drift, client.ObjectKeyFromObject(s), reason, encoded(s.Status.Conditions))
		}
	}
	w.setDrift(0)
	w.run(2 * simNotice)
	if len(w.problems) == 0 {
		w.settled()
	}
}

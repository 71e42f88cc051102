// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// linkRecord is the test's own record of what a machine has started.
type linkRecord struct {
	live       uint64 // the link that was dialled and has neither failed nor been closed; 0: none
	waiting    uint64 // the current wait; 0: none
	countDials int
}

// applyActions carries out actions, or returns what is wrong with them.
func (w *linkRecord) applyActions(actions []action, late uint64) error {
	for _, a := range actions {
		switch {
		case a.kind == dial && (w.live != 0 || w.waiting != 0):
			return fmt.Errorf("dial of link %d beside %+v", a.link, *w)
		case a.kind == dial:
			w.live = a.link
			w.countDials++
		case a.kind == wait && (w.live != 0 || w.waiting != 0):
			return fmt.Errorf("wait %d beside %+v", a.link, *w)
		case a.kind == wait && (a.after < minBackoff*9/10 || a.after > time.Minute):
			return fmt.Errorf("wait of %v", a.after)
		case a.kind == wait:
			w.waiting = a.link
		case a.kind == cancelWait && w.waiting != a.link:
			return fmt.Errorf("end of wait %d beside %+v", a.link, *w)
		case a.kind == cancelWait:
			w.waiting = 0
		case a.kind == closeLink && a.link == w.live:
			w.live = 0
		case a.kind == closeLink && a.link != late:
			return fmt.Errorf("hang up %d beside %+v", a.link, *w)
		}
	}
	return nil
}

// checkInvariant checks what must hold for a machine and what it has started, in every state.
func (w *linkRecord) checkInvariant(m machine) error {
	dialled := m.state == Connecting || m.state == Connected
	switch {
	case dialled != (w.live != 0), dialled && w.live != m.link:
		return fmt.Errorf("state %s, link %d, but link %d is live", m.state, m.link, w.live)
	case (m.state == AwaitingRetry) != (w.waiting != 0):
		return fmt.Errorf("state %s, but wait %d is on", m.state, w.waiting)
	case m.state == Connected && m.failures != 0:
		return fmt.Errorf("%d failures while open", m.failures) // B80
	case m.suspended && m.state != Stopped && m.state != Closed:
		return fmt.Errorf("suspended, but %s", m.state)
	}
	return nil
}

func anyEvent(r *rand.Rand, m machine) event {
	// Mostly of the current link, sometimes of an earlier one.
	link := m.link
	if link > 0 && r.IntN(4) == 0 {
		link -= r.Uint64N(min(link, 3))
	}
	kinds := []eventKind{settled, settled, suspended, revived, due, due, due, opened, opened, opened, refused, refused,
		lost, lost}
	e := event{kind: kinds[r.IntN(len(kinds))], link: link}
	if r.IntN(60) == 0 {
		e.kind = released
	}
	switch e.kind {
	case settled:
		e.fingerprint = []string{"a", "b"}[r.IntN(2)]
	case refused:
		e.failure = []coder.WatchFailure{coder.WatchUnavailable, coder.WatchMissing, coder.WatchRefused}[r.IntN(3)]
		e.after = time.Duration(r.IntN(2)) * 40 * time.Second
	case lost:
		e.ending = []ending{broken, broken, finished, rejected}[r.IntN(4)]
	}
	return e
}

// B81-B85: for every sequence of events, there is at most one connection and one wait, never both,
// and exactly those that the state implies; equal settings cause no dial; a stopped stream is
// dialled for a reason only; Closed is final.
func TestWhateverHappensTheMachineKeepsItsOrder(t *testing.T) {
	t.Parallel()
	seen := map[State]int{}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		m, w := machine{state: Idle}, &linkRecord{}
		for step := range 80 {
			e := anyEvent(r, m)
			before, dials := m, w.countDials
			// A link reports its end once, and is gone afterwards.
			current := e.link == m.link && m.acceptsEvent(e)
			if (e.kind == refused || e.kind == lost) && current {
				w.live = 0
			}
			if e.kind == due && current {
				w.waiting = 0
			}
			var actions []action
			m, actions = m.applyEvent(e, 2*r.Float64()-1)
			seen[m.state]++
			fail := func(err error) {
				if err != nil {
					t.Fatalf("seed %d, step %d, %+v after %+v: %v", seed, step, e, before, err)
				}
			}
			late := uint64(0)
			if e.kind == opened && !current {
				late = e.link
			}
			fail(w.applyActions(actions, late))
			fail(w.checkInvariant(m))
			dialled := w.countDials - dials
			switch {
			case before.state == Closed && (m != before || dialled != 0):
				t.Fatalf("seed %d, step %d: %+v brought a closed stream to %+v", seed, step, e, m)
			case dialled > 1:
				t.Fatalf("seed %d, step %d: %d dials", seed, step, dialled)
			case e.kind == settled && e.fingerprint == before.fingerprint && dialled != 0 && !before.suspended:
				t.Fatalf("seed %d, step %d: equal settings cost a dial: %+v", seed, step, before)
			case before.state == Stopped && dialled != 0 && e.kind != settled && e.kind != revived:
				t.Fatalf("seed %d, step %d: %+v revived a stopped stream", seed, step, e)
			case m.state == Stopped && before.state != Stopped && e.kind != suspended && e.kind != refused && e.kind != lost:
				t.Fatalf("seed %d, step %d: %+v stopped a stream", seed, step, e)
			}
		}
	}
	for _, state := range []State{Idle, Connecting, Connected, AwaitingRetry, Stopped, Closed} {
		if seen[state] < 50 {
			t.Errorf("%s was seen %d times only", state, seen[state])
		}
	}
}

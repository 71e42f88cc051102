// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// call is an outside call, with ids and the like cut out, so that it is the same
// in every run.
type call struct{ method, path string }

func (c call) String() string { return c.method + " " + c.path }

func (c call) isRead() bool { return c.method == http.MethodGet }

// fate is what becomes of one call.
type fate string

const (
	passes     fate = "passes"
	lostBefore fate = "lost before"
	lostAfter  fate = "lost after"
	lostAnswer fate = "lost answer"
	heldBefore fate = "held before"
	heldAfter  fate = "held after"
)

// endsProcess reports whether no call comes through any more.
func (f fate) endsProcess() bool { return f == lostBefore || f == lostAfter }

// mattersTo reports whether it makes a difference to a call: whether a read arrived
// before a crash does not.
func (f fate) mattersTo(c call) bool { return f != lostAfter || !c.isRead() }

// reachesServer reports whether the server gets the call.
func (f fate) reachesServer() bool { return f != lostBefore }

// victim is the call to disturb: the nth one that looks like this, counted from 1.
// The place in a list would not do: calls of the session and of its deployment are
// made at the same time, in no fixed order.
type victim struct {
	call
	nth int
}

func (v victim) String() string { return fmt.Sprintf("%s (no. %d of its kind)", v.call, v.nth) }

var errCut = errors.New("the network is cut")

// boundary stands between one operator and the outside. It counts the operator's
// calls once it is armed, and sees to the fate of one of them.
type boundary struct {
	reached chan struct{} // closed when the call has met its fate
	release chan struct{} // closed to let a held call go on

	mu    sync.Mutex
	armed bool
	total int     // of all calls, armed or not
	log   []entry // of all calls
	calls []call
	seen  map[call]int
	aim   victim
	what  fate
	cut   bool
}

func newBoundary() *boundary {
	return &boundary{reached: make(chan struct{}), release: make(chan struct{}), seen: map[call]int{}, what: passes}
}

// aimAt begins to count, and chooses the call to disturb.
func (b *boundary) aimAt(aim victim, what fate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed, b.aim, b.what = true, aim, what
	b.calls, b.seen = nil, map[call]int{}
}

// passCall takes a call over the boundary: do is the call itself. Its error is
// errCut when the caller hears nothing.
func (b *boundary) passCall(c call, do func() error) error {
	what, dead := b.decideFate(c)
	if dead {
		return errCut
	}
	if what == passes {
		return do()
	}
	if what == heldBefore {
		close(b.reached)
		<-b.release
	}
	var err error
	if what.reachesServer() {
		err = do()
	}
	if what.endsProcess() {
		b.cutOff()
	}
	if what != heldBefore {
		close(b.reached)
	}
	switch what {
	case heldAfter:
		<-b.release
		return err
	case heldBefore:
		return err
	}
	return errCut
}

// decideFate counts a call and tells its fate, or that nothing comes through any more.
func (b *boundary) decideFate(c call) (what fate, dead bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut {
		return passes, true
	}
	b.total++
	b.log = append(b.log, entry{time.Now(), c})
	if !b.armed {
		return passes, false
	}
	b.calls = append(b.calls, c)
	b.seen[c]++
	if b.aim != (victim{c, b.seen[c]}) {
		return passes, false
	}
	if b.what == lostBefore {
		b.cut = true // at once: another call may be on its way
	}
	return b.what, false
}

// cutOff cuts the operator off for good.
func (b *boundary) cutOff() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut = true
}

func (b *boundary) isCut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cut
}

// hasMetFate reports whether the call has met its fate.
func (b *boundary) hasMetFate() bool {
	select {
	case <-b.reached:
		return true
	default:
		return false
	}
}

// countCalls is how many calls were made since the operator's start.
func (b *boundary) countCalls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// callHistory is what was called when, without the reads that came again and again.
func (b *boundary) callHistory() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	const often, most = 8, 150
	times := map[call]int{}
	for _, e := range b.log {
		times[e.call]++
	}
	var lines []string
	for _, e := range b.log {
		if !e.isRead() || times[e.call] < often {
			lines = append(lines, e.at.Format("05.000 ")+e.String())
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "\n  ")
}

// entry is a call that was made.
type entry struct {
	at time.Time
	call
}

// possibleVictims are the calls since arm that are worth losing, each as what it is to be
// found by. A read that is made again is the same to whoever crashes there.
func (b *boundary) possibleVictims() []victim {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := map[call]int{}
	var list []victim
	for _, c := range b.calls {
		seen[c]++
		if !c.isRead() || seen[c] == 1 {
			list = append(list, victim{c, seen[c]})
		}
	}
	return list
}

// withoutRepeatedReads leaves out the reads that an operator makes again and again whatever
// happens: those that b has made since arm.
func (b *boundary) withoutRepeatedReads(victims []victim) []victim {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(victims, func(v victim) bool { return v.isRead() && b.seen[v.call] > 0 })
}

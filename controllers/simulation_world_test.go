// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
)

// simWorld is all that a seed decides about: an API server, two Coder servers, one operator, people, faults. One thing
// happens at a time; the operator's own concurrency is that a pass can begin while another waits for an answer.
type simWorld struct {
	seed     uint64
	rng      *rand.Rand
	clock    *simClock
	api      *simAPI
	coders   []*simCoder
	operator *simOperator
	key      fingerprint.Key

	noise simNoise
	// calm says that nothing else is to happen: what is under way is judged strictly.
	calm bool
	// mended says that people touch nothing any more.
	mended bool
	// steadily says that the operator, too, does only what falls due.
	steadily bool
	// stalled caches are told of nothing until then.
	stalled time.Time
	// pair and own count the generations of the edge's headers and of the operator's tokens.
	pair, own int
	// script is what is going to happen at a time, whatever else does; cues are what happens when something begins.
	script []scripted
	cues   map[string]func()
	// outdated is the verification during which its deployment changed.
	outdated outdated
	// names of the deployments that there are to be.
	names []string
	// renews says that the operator's own token renews itself.
	renews bool
	// retains says that deployment prod retires sessions, and that people ask for renewals; wishes counts what they ask for.
	retains bool
	wishes  int
	// minute is the present one, and how much was done in it.
	minute struct {
		at    time.Time
		steps int
	}

	baton      atomic.Int64
	depth      int // passes under way
	byOperator bool
	underway   []string
	tokens     map[string]*minted     // by id
	known      map[string]string      // credentials, and what they are
	mints      map[string]int         // by the token's name
	verified   map[string][]time.Time // by deployment
	writes     []change               // by the operator, since it was last emptied
	warnings   []string
	rotations  int // writes of Secrets with a new token of the operator's making

	count    simCount
	problems []string
	trace    []string
	verbose  bool
}

// simNoise are chances, in a thousand.
type simNoise struct{ drop, lose, limited, broken, api, crash int }

type scripted struct {
	at time.Time
	do func()
}

// simStart has no fraction of a second, as few times have.
var simStart = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func newSimWorld(seed uint64) *simWorld {
	w := &simWorld{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5e55)), clock: newSimClock(simStart), pair: 1, names: []string{"prod", "gate"}, renews: renewsOwn(seed), retains: retainsSessions(seed),
		tokens: map[string]*minted{}, known: map[string]string{}, mints: map[string]int{}, verified: map[string][]time.Time{},
		cues: map[string]func(){}, count: simCount{tried: map[string]int{}},
	}
	w.clock.passes = w.pass
	var err error
	w.key, err = fingerprint.NewKey([]byte("0123456789abcdef0123456789abcdef"))
	w.must(nil, err)
	w.api = newSimAPI(w.clock.Now, w.rng)
	w.api.told = w.told
	w.coders = []*simCoder{newSimCoder(w), newSimCoder(w)}
	w.populate()
	w.startOperator()
	return w
}

func (w *simWorld) close() {
	w.operator.stop()
	w.operator.searchMetrics()
	for _, c := range w.coders {
		c.http.CloseClientConnections()
		c.http.Close()
	}
}

// fail notes what must not happen. The run ends soon after.
func (w *simWorld) fail(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf("%s: ", w.clock.Now().Sub(simStart))+fmt.Sprintf(format, args...))
	w.tracef("!! "+format, args...)
}

func (w *simWorld) must(_ any, err error) {
	if err != nil {
		panic(fmt.Sprintf("seed %d: %v", w.seed, err))
	}
}

func (w *simWorld) tracef(format string, args ...any) {
	if w.verbose {
		w.trace = append(w.trace, fmt.Sprintf("%12s ", w.clock.Now().Sub(simStart))+strings.Repeat("  ", max(0, w.depth))+fmt.Sprintf(format, args...))
	}
}

// sync makes what another goroutine did before its own sync visible here. Only one runs at a time, but a connection that
// is cut does not say so to the race detector.
func (w *simWorld) sync() {
	w.baton.Add(1)
}

func (w *simWorld) jitter(d time.Duration) time.Duration {
	w.sync()
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(d)))
}

// strikes is true so many times in a thousand.
func (w *simWorld) strikes(chance int) bool {
	return chance > 0 && !w.calm && w.rng.IntN(1000) < chance
}

// know remembers a credential: its secret part must show nowhere.
func (w *simWorld) know(value, what string) {
	if _, secret, found := strings.Cut(value, "-"); found {
		w.known[secret] = what
	}
}

// told passes a write on to the caches, which learn of it later, and to those who watch over the operator.
func (w *simWorld) told(c change) {
	w.tracef("  written: %s %s by operator=%t, gone=%t", c.ref.kind, c.ref.key, w.byOperator, c.after == nil)
	if w.operator != nil {
		due := w.clock.Now()
		if !w.calm || w.rng.IntN(2) == 0 {
			due = due.Add(w.jitter(simLag))
		}
		w.operator.cache.pending[c.ref.kind] = append(w.operator.cache.pending[c.ref.kind], news{c, due})
	}
	if w.byOperator {
		w.writes = append(w.writes, c)
		w.judge(c)
	}
}

// simLag bounds how late caches are. It is shorter than the quiet period less the pauses within a burst.
const simLag = 200 * time.Millisecond

// simQuiet is the quiet period, by default.
const simQuiet = deployment.DefaultQuietPeriod

// deliverable lists the kinds of which there is news that has arrived.
func (w *simWorld) deliverable() []string {
	var found []string
	now := w.clock.Now()
	for _, kind := range kinds {
		if pending := w.operator.cache.pending[kind]; len(pending) > 0 && !pending[0].due.After(now) && !now.Before(w.stalled) {
			found = append(found, kind)
		}
	}
	return found
}

// act does one thing that can be done now; it reports false if there is none.
func (w *simWorld) act() bool {
	if w.depth == 0 && w.operator.dead {
		w.restart()
	}
	for len(w.script) > 0 && !w.script[0].at.After(w.clock.Now()) {
		next := w.script[0]
		w.script = w.script[1:]
		next.do()
	}
	type choice func()
	var choices []choice
	for _, kind := range w.deliverable() {
		choices = append(choices, func() {
			w.tracef("news of %s: %s", kind, w.operator.cache.pending[kind][0].ref.key)
			w.operator.cache.deliver(w.ctx(), kind)
		})
	}
	for _, l := range w.operator.lanes() {
		for _, key := range l.queue.runnable() {
			choices = append(choices, func() {
				w.depth++
				w.operator.work(l, key)
				w.depth--
			})
		}
	}
	if len(choices) == 0 {
		return false
	}
	w.count.steps++
	w.tire()
	choices[w.rng.IntN(len(choices))]()
	if w.depth == 0 && !w.operator.dead {
		w.inspect()
	}
	return true
}

// simTireless is how much can be done in a minute by an operator that does nothing in vain.
const simTireless = 3000

// tire notices an operator that goes round in circles.
func (w *simWorld) tire() {
	if now := w.clock.Now(); now.Sub(w.minute.at) > time.Minute {
		w.minute.at, w.minute.steps = now, 0
	}
	if w.minute.steps++; w.minute.steps > simTireless {
		w.fail("the operator does not rest: %d steps in a minute", w.minute.steps)
	}
}

// run lets time go by.
func (w *simWorld) run(d time.Duration) {
	end := w.clock.Now().Add(d)
	for len(w.problems) == 0 {
		if w.act() {
			continue
		}
		next := w.next(end)
		if !next.Before(end) {
			w.moveTo(end)
			return
		}
		w.moveTo(next)
	}
}

// next is when something can be done again, at the latest the end.
func (w *simWorld) next(end time.Time) time.Time {
	now := w.clock.Now()
	sooner := func(t time.Time) {
		if t.After(now) && t.Before(end) {
			end = t
		}
	}
	for _, kind := range kinds {
		if pending := w.operator.cache.pending[kind]; len(pending) > 0 {
			sooner(pending[0].due)
		}
	}
	for _, l := range w.operator.lanes() {
		sooner(l.queue.next())
	}
	if len(w.script) > 0 {
		sooner(w.script[0].at)
	}
	sooner(w.stalled)
	sooner(w.clock.next())
	return end
}

func (w *simWorld) moveTo(t time.Time) {
	if t.After(w.clock.Now()) {
		w.clock.set(t)
	}
}

// pass lets time go by while somebody waits: what falls due meanwhile does so at its time. In calm no news is late.
func (w *simWorld) pass(d time.Duration) {
	w.sync()
	end := w.clock.Now().Add(d)
	for w.clock.Now().Before(end) {
		next := end
		if t := w.clock.next(); !t.IsZero() && t.Before(next) {
			next = t
		}
		if w.calm {
			for _, kind := range kinds {
				if pending := w.operator.cache.pending[kind]; len(pending) > 0 && pending[0].due.Before(next) {
					next = pending[0].due
				}
			}
		}
		w.moveTo(next)
		if w.calm {
			for due := w.deliverable(); len(due) > 0; due = w.deliverable() {
				w.operator.cache.deliver(w.ctx(), due[0])
			}
		}
	}
}

// meanwhile is what happens while the operator waits for an answer. Passes over other keys may begin, unless locks are
// held for which they would wait.
func (w *simWorld) meanwhile(nests bool) {
	if w.operator.dead || w.rng.IntN(8) > 0 {
		return
	}
	if w.strikes(w.noise.crash) {
		w.tracef("the operator dies")
		w.operator.stop()
		return
	}
	switch w.rng.IntN(4) {
	case 0, 1:
		if !w.calm { // the pauses of a burst are as long as they are meant to be
			w.pass(w.jitter(pick(w, []time.Duration{30 * time.Millisecond, 2 * time.Second})))
		}
	case 2:
		if !w.calm && !w.mended && w.rng.IntN(10) == 0 {
			w.nudge()
		}
	}
	if nests && w.depth < 3 {
		w.act()
		return
	}
	if due := w.deliverable(); len(due) > 0 {
		w.operator.cache.deliver(w.ctx(), due[w.rng.IntN(len(due))])
	}
}

func (w *simWorld) restart() {
	w.tracef("the operator starts")
	w.count.restarts++
	w.underway = nil
	w.operator.stop()
	w.operator.searchMetrics()
	w.startOperator()
}

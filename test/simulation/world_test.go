// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
)

// simWorld is a simulation that is fully determined by its seed: an API server, two Coder
// servers, one operator, the actions of users, and faults. Only one step runs at a time. The
// concurrency of the operator is simulated by starting a pass while another one waits for a
// response.
type simWorld struct {
	seed     uint64
	rng      *rand.Rand
	clock    *simClock
	api      *simAPI
	coders   []*simCoder
	operator *simOperator
	key      fingerprint.Key

	noise simNoise
	// calm disables faults and other random events, so that the current steps can be checked
	// strictly.
	calm bool
	// changesStopped means that users make no further changes.
	changesStopped bool
	// steadily means that the operator, too, may only do what becomes due.
	steadily bool
	// stalled is the time until which caches receive no events.
	stalled time.Time
	// pair and own count the generations of the edge's headers and of the operator's tokens.
	pair, own int
	// script holds functions that run at a given time; cues holds functions that run when the
	// named request begins.
	script []scripted
	cues   map[string]func()
	// outdated is the verification during which its deployment was changed.
	outdated outdated
	// names of the deployments that are expected to exist.
	names []string
	// renews means that the operator renews its own token.
	renews bool
	// retains means that deployment prod retires sessions and that users request renewals;
	// wishes counts the requests.
	retains bool
	wishes  int
	// features say what else happens.
	features simFeatures
	// refusals of the API server; forged is when another client last wrote a status; disturbed is
	// when the operator was last kept from writing one in time.
	refusals  []refusal
	forged    map[ref]time.Time
	disturbed time.Time
	// slept is how long the operator's machine has slept; drift is how far its clock is ahead.
	slept, drift time.Duration
	// rollouts of workloads, by name; rotated is when the Secret of a session was last written.
	rollouts map[string]*simRollout
	rotated  map[types.NamespacedName]time.Time
	// consents is about people who consent.
	consents simConsents
	// bound is about workspaces, and the sessions that are bound to them.
	bound simBound
	// podded is about pods that have a token of their own.
	podded simPods
	// minute counts the steps of the current minute.
	minute struct {
		at    time.Time
		steps int
	}

	baton      atomic.Int64
	depth      int // number of nested passes
	byOperator bool
	underway   []string
	// lane is the controller whose pass is running.
	lane      string
	tokens    map[string]*minted     // by id
	known     map[string]string      // descriptions by secret part of the credential
	mints     map[string]int         // by the token's name
	verified  map[string][]time.Time // by deployment
	writes    []change               // by the operator, since it was last cleared
	warnings  []string
	rotations int // writes of Secrets with a newly minted token

	count    simCount
	problems []string
	trace    []string
	verbose  bool
}

// simNoise holds the probabilities of faults, in thousandths.
type simNoise struct{ drop, lose, limited, broken, api, crash int }

type scripted struct {
	at time.Time
	do func()
}

// simStart is a whole second.
var simStart = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func newSimWorld(seed uint64) *simWorld {
	w := &simWorld{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5e55)), clock: newSimClock(simStart), pair: 1,
		names: []string{"prod", "gate"}, renews: renewsOwn(seed), retains: retainsSessions(seed),
		tokens: map[string]*minted{}, known: map[string]string{}, mints: map[string]int{}, verified: map[string][]time.Time{},
		cues: map[string]func(){}, count: simCount{tried: map[string]int{}, happened: map[string]int{}},
		rollouts: map[string]*simRollout{}, rotated: map[types.NamespacedName]time.Time{},
		features: featuresOf(seed), forged: map[ref]time.Time{}, disturbed: simStart, consents: newSimConsents(),
		bound: newSimBound(), podded: newSimPods(),
	}
	w.clock.passes = w.pass
	var err error
	w.key, err = fingerprint.NewKey([]byte("0123456789abcdef0123456789abcdef"))
	w.must(nil, err)
	w.api = newSimAPI(w.truth, w.rng)
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

// fail records a violated invariant. The run ends soon after.
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
		at := fmt.Sprintf("%12s ", w.clock.Now().Sub(simStart))
		w.trace = append(w.trace, at+strings.Repeat("  ", max(0, w.depth))+fmt.Sprintf(format, args...))
	}
}

// sync establishes a happens-before relation with the previous sync of another goroutine.
// Only one goroutine runs at a time, but the race detector cannot see that from a connection
// that is cut.
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

// strikes returns true with a probability in thousandths.
func (w *simWorld) strikes(chance int) bool {
	return chance > 0 && !w.calm && w.rng.IntN(1000) < chance
}

// know records a credential, whose secret part must not appear in any output.
func (w *simWorld) know(value, what string) {
	if _, secret, found := strings.Cut(value, "-"); found {
		w.known[secret] = what
	}
}

// told passes a write on to the caches, which receive it with a delay, and to the checks of
// the operator's writes.
func (w *simWorld) told(c change) {
	w.tracef("  written: %s %s by operator=%t, gone=%t", c.ref.kind, c.ref.key, w.byOperator, c.after == nil)
	if w.operator != nil && c.ref.kind != kindWorkload {
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

// simLag is the maximum lag of caches. It is shorter than the quiet period minus the pauses
// within a burst.
const simLag = 200 * time.Millisecond

// simQuiet is the default quiet period.
const simQuiet = deployment.DefaultQuietPeriod

// deliverable lists the kinds with events that are due.
func (w *simWorld) deliverable() []string {
	var found []string
	now := w.clock.Now()
	for _, kind := range kinds {
		pending := w.operator.cache.pending[kind]
		if len(pending) > 0 && !pending[0].due.After(now) && !now.Before(w.stalled) {
			found = append(found, kind)
		}
	}
	return found
}

// act runs one step that is due; it returns false if there is none.
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
	for _, step := range w.operator.streams.runnable() {
		choices = append(choices, func() {
			w.depth++
			step()
			w.depth--
		})
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

// simTireless is the maximum number of steps in a minute of an operator that works normally.
const simTireless = 3000

// tire detects an operator that keeps reconciling without progress.
func (w *simWorld) tire() {
	if now := w.clock.Now(); now.Sub(w.minute.at) > time.Minute {
		w.minute.at, w.minute.steps = now, 0
	}
	if w.minute.steps++; w.minute.steps > simTireless {
		w.fail("the operator does not rest: %d steps in a minute", w.minute.steps)
	}
}

// run advances the time, step by step.
func (w *simWorld) run(d time.Duration) {
	end := w.clock.Now().Add(d)
	for len(w.problems) == 0 {
		if w.act() || w.consents.willing && w.consentAll() {
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

// next returns the time of the next step, at the latest the end.
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
	sooner(w.operator.streams.next())
	sooner(w.stalled)
	sooner(w.clock.next())
	return end
}

func (w *simWorld) moveTo(t time.Time) {
	if t.After(w.clock.Now()) {
		w.clock.set(t)
	}
}

// pass advances the time while a request or timer waits; delayed functions run at their time.
// While calm, due events are delivered to the caches.
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

// meanwhile runs random events while the operator waits for a response. Passes over other
// keys may begin if nests is true, that is, if they cannot wait for a lock of this one.
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
		if !w.calm { // the pauses within a burst must not become longer
			w.pass(w.jitter(pick(w, []time.Duration{30 * time.Millisecond, 2 * time.Second})))
		}
	case 2:
		if !w.calm && !w.changesStopped && w.rng.IntN(10) == 0 {
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
	w.disturb()
	w.underway = nil
	w.operator.stop()
	w.operator.searchMetrics()
	w.startOperator()
}

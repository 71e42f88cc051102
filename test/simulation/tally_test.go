// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// simCount holds the counts of the summary.
type simCount struct {
	steps, requests, verifications, mints, renewals, revocations int
	restarts, bursts, lines, writes, retirements, returns        int

	tried    map[string]int // by the name of the trial
	happened map[string]int // events of the features, by name
}

// tally sums up runs. It is safe for concurrent use.
type tally struct {
	mu            sync.Mutex
	seeds, leaked int
	simCount
}

func (t *tally) add(w *simWorld) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seeds++
	t.steps += w.count.steps
	t.requests += w.count.requests
	t.verifications += w.count.verifications
	t.mints += w.count.mints
	t.renewals += w.count.renewals
	t.revocations += w.count.revocations
	t.restarts += w.count.restarts
	t.bursts += w.count.bursts
	t.retirements += w.count.retirements
	t.returns += w.count.returns
	t.lines += w.count.lines
	if t.tried == nil {
		t.tried, t.happened = map[string]int{}, map[string]int{}
	}
	for what, times := range w.count.tried {
		t.tried[what] += times
	}
	for what, times := range w.count.happened {
		t.happened[what] += times
	}
	for _, problem := range w.problems {
		if strings.Contains(problem, "B40") {
			t.leaked++
		}
	}
}

func (t *tally) String() string {
	return fmt.Sprintf("%d seeds, %d steps, %d requests, %d verifications, %d bursts judged, "+
		"%d mints, %d renewals, %d revocations, %d retirements, %d returns, "+
		"%d restarts, %d lines of log, tried %v, happened %v, %d leaks",
		t.seeds, t.steps, t.requests, t.verifications, t.bursts,
		t.mints, t.renewals, t.revocations, t.retirements, t.returns,
		t.restarts, t.lines, t.tried, t.happened, t.leaked)
}

// simManySeeds is the number of seeds in which every event happens.
const simManySeeds = 100

// complete fails if a trial never ran, or an event never happened, in many seeds.
func (t *tally) complete(test *testing.T) {
	for what := range trials {
		if t.tried[what] == 0 && t.seeds >= simManySeeds {
			test.Errorf("in %d seeds this trial never ran: %s", t.seeds, what)
		}
	}
	for _, what := range simEvents {
		if t.happened[what] == 0 && t.seeds >= simManySeeds {
			test.Errorf("in %d seeds this never happened: %s", t.seeds, what)
		}
	}
	if t.seeds >= 20 && (t.bursts == 0 || t.renewals == 0 || t.retirements == 0 || t.returns == 0 || t.lines == 0) {
		test.Errorf("something was never tried: %s", t)
	}
}

// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	simSeed  = flag.Uint64("seed", 0, "the only seed that TestRandomSchedules runs, with a trace of what happened; 0: all")
	simSeeds = flag.Uint64("seeds", simSeedsByDefault, "how many seeds TestRandomSchedules runs")
)

// regressions are seeds that once failed, by the situation that they cover.
var regressions = map[string]uint64{
	"a Secret is deleted before it was observed":                294,
	"the answer to a Secret's write is lost":                    130,
	"a Secret is edited while its deployment is unreachable":    137,
	"a Secret is gone when its deployment goes to other server": 171,
	"an overlap ends while nothing else happens":                1795326845568518281,
	"the own token is renewed while settings change":            1795332036256943302,
	"a rotation takes longer than its overlap":                  1795332036256943574,
	"the own token is renewed before its write is answered":     1795332036256943428,
	"a grant is forgotten while its server is not known yet":    76,
	"a refresh was intended while the clock was ahead":          28,
	"a person consented while the clock was ahead":              1795948513561211832,
	"a stream that was refused is tried again":                  128,
	"a deleted session leaves its Secret":                       1795956548087678066,
	"another writer calls a session ready in an outage":         1795958734806630829,
	"another writer calls one ready that cannot be observed":    1795958734806630855,
	"the token of a Secret is one that nothing describes":       1795960139634414887,
	"a client is deleted that the clock, ahead, has asked with": 1795962818088030421,
	"a grant was issued while the clock was ahead":              1795962818088030584,
	"the name of a token that may be in use is taken":           1795962818088030715,
}

// simulate runs one seed: random changes, then everything is repaired and must recover.
func simulate(seed uint64, verbose bool) (*simWorld, error) {
	w := newSimWorld(seed)
	defer w.close()
	w.verbose = verbose
	w.run(10 * time.Second)
	w.judgedBursts(w.rng.IntN(3))
	for range 20 + w.rng.IntN(40) {
		if len(w.problems) > 0 {
			break
		}
		pick(w, w.possible(changes))(w)
		pauses := []time.Duration{50 * time.Millisecond, 2 * time.Second, 2 * time.Second, 30 * time.Second, 6 * time.Minute}
		w.run(w.jitter(pick(w, pauses)))
		w.api.collect()
	}
	if len(w.problems) == 0 {
		w.heal()
		w.run(30 * time.Minute)
		w.api.collect()
	}
	if len(w.problems) == 0 {
		w.settled()
	}
	switch {
	case len(w.problems) > 0 || !w.retains:
	case w.features.clocks:
		// What was recorded as active while a clock was ahead stays the most recently used for hours.
		w.retain(nil)
		w.run(simNotice)
	default:
		w.retired()
	}
	if len(w.problems) == 0 {
		w.judgedBursts(1 + w.rng.IntN(2))
		w.steady(time.Duration(2+seed%2) * time.Hour)
	}
	w.tried()
	if len(w.problems) > 0 {
		return w, fmt.Errorf("%s\n  to repeat it: go test ./test/simulation -run TestRandomSchedules -seed=%d",
			strings.Join(w.problems, "\n  "), seed)
	}
	return w, nil
}

// trials are events that happen to an idle operator, whose reaction is checked strictly.
var trials = map[string]func(*simWorld){
	"a restart":                      (*simWorld).restarted,
	"a writer who never pauses":      (*simWorld).relentless,
	"a change during a verification": (*simWorld).interrupted,
	"another URL during one":         (*simWorld).switched,
	"the deletion during one":        (*simWorld).deleted,
	"the suspension of a user":       (*simWorld).suspendUser,
	"no Secret can be written":       (*simWorld).refusedWrites,
	"a machine that sleeps":          (*simWorld).slumber,
	"a clock that is off":            (*simWorld).otherTime,
	"a workspace that stops":         (*simWorld).stopsWorkspace,
	"a pod that comes and goes":      (*simWorld).podComesAndGoes,
}

// tried runs some trials. The deletion is the last one.
func (w *simWorld) tried() {
	between := []string{
		"a writer who never pauses", "a change during a verification", "another URL during one", "the suspension of a user",
	}
	between = append(between, w.features.trials()...)
	for _, what := range []string{"a restart", pick(w, between), pick(w, between), "the deletion during one"} {
		if len(w.problems) == 0 && w.rests() {
			w.tracef("* trial: %s", what)
			w.count.tried[what]++
			trials[what](w)
		}
	}
}

// TestRandomSchedules runs random schedules against both controllers. A failing seed can be
// reproduced:
//
//	go test ./test/simulation -run TestRandomSchedules -seed=N
//
// B04 B05 B06 B07 B08 B09 B11 B22 B27 B28 B40 B41 B42 B43 B45 B47 B50 B53 B54
// B67 B86 B90 B94 B111 B115 B119 B150 B151 B153 B154
func TestRandomSchedules(t *testing.T) {
	if *simSeed != 0 {
		w, err := simulate(*simSeed, true)
		t.Log("\n" + strings.Join(w.trace, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // little of the memory lives long
	var sum tally
	t.Run("regressions", func(t *testing.T) {
		if raceDetector {
			t.Skip("they run without the race detector")
		}
		for name, seed := range regressions {
			t.Run(name, func(t *testing.T) { trial(t, seed, &sum) })
		}
	})
	seeds := *simSeeds
	if testing.Short() {
		seeds = 20
	}
	t.Run("seeds", func(t *testing.T) {
		for seed := uint64(1); seed <= seeds; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) { trial(t, seed, &sum) })
		}
	})
	t.Log(sum.String())
	sum.complete(t)
}

func trial(t *testing.T, seed uint64, sum *tally) {
	t.Parallel()
	w, err := simulate(seed, false)
	sum.add(w)
	if err != nil {
		t.Error(err)
	}
}

// TestSoak runs new random schedules for the duration in the environment variable SOAK, for
// example 30m.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("SOAK names no time")
	}
	var sum tally
	var next sync.Mutex
	end, seed := time.Now().Add(length), uint64(time.Now().UnixNano())
	t.Run("workers", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for time.Now().Before(end) {
					next.Lock()
					seed++
					mine := seed
					next.Unlock()
					w, err := simulate(mine, false)
					sum.add(w)
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	})
	fmt.Println("soak:", sum.String())
}

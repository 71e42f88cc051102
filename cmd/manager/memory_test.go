// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

// B130: nine tenths of the container's limit, unless GOMEMLIMIT says otherwise.
func TestTheMemoryLimit(t *testing.T) {
	before, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	defer debug.SetMemoryLimit(before)
	defer debug.SetGCPercent(percent)
	for name, tt := range map[string]struct {
		env     map[string]string
		want    int64
		percent int
	}{
		"a limit":         {map[string]string{memoryEnv: "268435456"}, 241591910, gcPercent},
		"none":            {nil, before, gcPercent},
		"no number":       {map[string]string{memoryEnv: "256Mi"}, before, gcPercent},
		"Go's variable":   {map[string]string{memoryEnv: "268435456", "GOMEMLIMIT": "1GiB"}, before, gcPercent},
		"Go's percentage": {map[string]string{"GOGC": "100"}, before, 100},
	} {
		debug.SetMemoryLimit(before)
		debug.SetGCPercent(100)
		limitMemory(func(name string) string { return tt.env[name] })
		if got := debug.SetMemoryLimit(-1); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
		if got := debug.SetGCPercent(100); got != tt.percent {
			t.Errorf("%s: %d %% of garbage, want %d", name, got, tt.percent)
		}
	}
}

// Memory is returned each time when a process has allocated much and is quiet, and not while it is busy.
func TestMemoryIsReturnedWhenAProcessBecomesQuiet(t *testing.T) {
	t.Parallel()
	const mib, inUse = 1 << 20, 40 << 20
	var history memoryHistory
	allocated := uint64(0)
	for _, look := range []struct {
		name      string
		allocated uint64 // since the last look
		want      bool
	}{
		{"it starts", 300 * mib, false},
		{"it still starts", 50 * mib, false},
		{"it is quiet", mib, true},
		{"it stays quiet", mib, false},
		{"a burst", 100 * mib, false},
		{"the burst is over", mib, true},
		{"a burst of less than what is in use", 30 * mib, false},
		{"that is over", mib, false},
		{"a little more", 3 * mib, false},
		{"and more", 3 * mib, false},
		{"now it is more than what is in use", 4*mib - 1, true},
	} {
		allocated += look.allocated
		if got := history.isReleaseDue(allocated, inUse); got != look.want {
			t.Errorf("%s: %t, want %t", look.name, got, look.want)
		}
	}
}

func TestMemoryReleaseRunsUntilTheProcessEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fake, allocated := testingclock.NewFakeClock(time.Now()), uint64(0)
	released := make(chan struct{})
	m := memoryRelease{
		clock:   fake,
		usage:   func() (uint64, uint64) { allocated++; return allocated, 0 },
		release: func() { released <- struct{}{} },
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	for range 2 {
		for done := false; !done; {
			select {
			case <-released:
				done = true
			case <-ctx.Done():
				t.Fatal("no memory was released")
			default:
				if fake.HasWaiters() {
					fake.Step(releaseInterval)
				}
			}
		}
	}
	cancel()
	for running := true; running; {
		select {
		case <-released: // a look that was due already
		case err := <-ended:
			if running = false; err != nil {
				t.Error(err)
			}
		}
	}
}

// What Go says about its memory exists.
func TestMemoryUsage(t *testing.T) {
	t.Parallel()
	runtime.GC()
	before, inUse := memoryUsage()
	if before == 0 || inUse == 0 || inUse > before {
		t.Errorf("%d bytes allocated, %d in use", before, inUse)
	}
}

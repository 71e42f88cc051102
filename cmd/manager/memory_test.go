// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
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

// Memory that the start has needed is returned once it is over, and again once the process leads.
func TestMemoryOfTheStartIsReturned(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fake, elected, released := testingclock.NewFakeClock(time.Now()), make(chan struct{}), make(chan struct{})
	m := memoryRelease{clock: fake, elected: elected, release: func() { released <- struct{}{} }}
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	expect := func(what string) {
		t.Helper()
		for {
			select {
			case <-released:
				return
			case <-ctx.Done():
				t.Fatalf("no memory was returned after %s", what)
			default:
				if fake.HasWaiters() {
					fake.Step(startPhase)
				}
			}
		}
	}
	expect("the start")
	if fake.HasWaiters() {
		t.Error("a process that does not lead waits for the end of its start again")
	}
	close(elected)
	expect("the election")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	cancel()
	if err := m.Start(ctx); err != nil {
		t.Errorf("a process that ends: %v", err)
	}
}

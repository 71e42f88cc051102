// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"math"
	"runtime/debug"
	"strconv"
	"time"

	"k8s.io/utils/clock"
)

// memoryEnv has the memory limit of the container, in bytes. The chart and config set it.
const memoryEnv = "CONTAINER_MEMORY_LIMIT"

// gcPercent is how much garbage there may be, in percent of what is in use, before it is collected; Go's own
// default is 100. Most of the operator's memory is its cache, and it allocates little once it has started:
// half as much garbage costs a little CPU time in bursts, and nothing otherwise.
const gcPercent = 50

// limitMemory configures Go's garbage collector. It keeps the process below nine tenths of the container's
// memory limit; the rest is for what Go does not manage. GOMEMLIMIT and GOGC take precedence.
func limitMemory(getenv func(string) string) {
	limit, err := strconv.ParseInt(getenv(memoryEnv), 10, 64)
	if err == nil && limit > 0 && limit < math.MaxInt64/9 && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit * 9 / 10)
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// startPhase is how long a process is busy with what there is already: when it starts it fills its caches, and
// when it becomes the leader it looks at each object once.
const startPhase = 15 * time.Second

// memoryRelease returns memory to the system that only the start has needed. Go does so by itself when
// garbage is collected, which an operator that has nothing to do causes every two minutes, and then keeps as
// much as the last collection had. It is a Runnable of the manager.
type memoryRelease struct {
	clock clock.Clock
	// elected is closed when the process becomes the leader.
	elected <-chan struct{}
	// release is debug.FreeOSMemory.
	release func()
}

// Start releases memory after the start, and once more after the process has become the leader.
func (m memoryRelease) Start(ctx context.Context) error {
	started := make(chan struct{})
	close(started)
	for _, phase := range []<-chan struct{}{started, m.elected} {
		select {
		case <-phase:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-m.clock.After(startPhase):
			m.release()
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// NeedLeaderElection returns false.
func (memoryRelease) NeedLeaderElection() bool { return false }

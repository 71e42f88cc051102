// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
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

const (
	// releaseInterval is how often a process looks whether to return memory.
	releaseInterval = 15 * time.Second
	// quietAllocation is how many bytes a process that has little to do allocates in a releaseInterval at most.
	quietAllocation = 4 << 20
)

// memoryRelease returns memory to the system after a time in which a process has allocated much: its start, its
// election, and all that concerns many sessions at once. Go does so by itself, but keeps as much as the last
// collection of garbage had, and one that has little to do collects it every two minutes. It is a Runnable of the
// manager.
type memoryRelease struct {
	clock clock.WithTicker
	// usage returns how many bytes were allocated so far, and how many of them were in use when garbage was
	// collected last.
	usage func() (allocated, inUse uint64)
	// release is debug.FreeOSMemory.
	release func()
}

// Start looks at the memory in each releaseInterval.
func (m memoryRelease) Start(ctx context.Context) error {
	ticker := m.clock.NewTicker(releaseInterval)
	defer ticker.Stop()
	var history memoryHistory
	for {
		select {
		case <-ticker.C():
			if history.isReleaseDue(m.usage()) {
				m.release()
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// memoryHistory is how many bytes had been allocated at the last look, and when memory was released last.
type memoryHistory struct{ seen, released uint64 }

// isReleaseDue is called in each releaseInterval. It returns true if the process is quiet, and has allocated as much
// as it uses since the last time.
func (h *memoryHistory) isReleaseDue(allocated, inUse uint64) bool {
	due := allocated-h.seen < quietAllocation && allocated-h.released > inUse
	h.seen = allocated
	if due {
		h.released = allocated
	}
	return due
}

// NeedLeaderElection returns false.
func (memoryRelease) NeedLeaderElection() bool { return false }

// memoryUsage returns how many bytes the process has allocated so far, and how many of them were in use when
// garbage was collected last.
func memoryUsage() (allocated, inUse uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

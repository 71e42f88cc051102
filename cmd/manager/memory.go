// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"runtime/debug"
	"strconv"
)

// memoryEnv has the memory limit of the container, in bytes. The chart and config set it.
const memoryEnv = "CONTAINER_MEMORY_LIMIT"

// setMemoryLimit tells Go's garbage collector to keep the process below nine tenths of the container's
// memory limit; the rest is for what Go does not manage. GOMEMLIMIT takes precedence.
func setMemoryLimit(getenv func(string) string) {
	limit, err := strconv.ParseInt(getenv(memoryEnv), 10, 64)
	if err == nil && limit > 0 && limit < math.MaxInt64/9 && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit * 9 / 10)
	}
}

// SPDX-License-Identifier: Apache-2.0

// Package scale_test measures what the operator costs: the program itself, as a
// process of its own, against a real API server and the simulated Coder server.
//
//	make bench
//	make bench BENCH_FLAGS='-bench MintedSessions/300'
//
// Each scenario has a control plane, a Coder server and an operator of its own, so
// that none pays for what another left behind. What is counted is counted where it
// arrives: API calls in the API server's audit log, Coder calls in the simulated
// server's request log, memory and CPU time in /proc of the operator's process
// (Linux only).
//
// It owns the figures, not the behaviours: those are test/operator's. Counts that
// have to be exact fail a benchmark, times never do. docs/operations/performance.md says what
// the figures mean.
package scale_test

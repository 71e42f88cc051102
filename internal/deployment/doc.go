// SPDX-License-Identifier: Apache-2.0

// Package deployment decides what happens to a CoderDeployment, and which sessions its access rules
// allow. It is pure: an Observation, which includes the time, goes in, and a Plan comes out. The
// package uses no client, context, clock or error.
//
// It owns when to verify, when to list tokens, what is Ready and why not, the rules of spec.access,
// and which sessions spec.retention retires. It does not own how settings are read
// (internal/authconfig) or how the server is called (internal/connection).
package deployment

// SPDX-License-Identifier: Apache-2.0

// Package deployment decides what happens to a CoderDeployment, and whom its
// access rules let in. It is pure: an Observation with the time in it goes in, a
// Plan comes out. There is no client, context, clock or error in it.
//
// It owns when to verify, when to list tokens, what is Ready and why not, the rules
// of spec.access, and whom spec.retention keeps. It does not own how settings are read
// (internal/authconfig) or how the server is asked (internal/connection).
package deployment

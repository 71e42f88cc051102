// SPDX-License-Identifier: Apache-2.0

// Package simulation runs the whole operator in random schedules: an API server, two Coder servers,
// caches that lag, users who change their minds, and faults, all driven by one seed. A seed that
// fails fails again, so that what it shows can be looked at step by step.
//
// It owns no code of the operator. It starts both controllers as controllers.Setup does, with the
// same watches.
package simulation

// SPDX-License-Identifier: Apache-2.0

//go:build !race

package simulation

// raceDetector reports whether it watches the tests.
const raceDetector = false

// simSeedsByDefault is the number of seeds that TestRandomSchedules runs.
const simSeedsByDefault = 130

// SPDX-License-Identifier: Apache-2.0

//go:build race

package simulation

// raceDetector reports whether it watches the tests.
const raceDetector = true

// simSeedsByDefault is small under the race detector, with which a seed takes six times as
// long. make test also runs all seeds without it.
const simSeedsByDefault = 3

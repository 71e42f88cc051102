// SPDX-License-Identifier: Apache-2.0

//go:build !race

package connection

// raceEnabled is set if the tests run with the race detector.
const raceEnabled = false

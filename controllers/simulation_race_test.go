// SPDX-License-Identifier: Apache-2.0

//go:build race

package controllers

// simSeedsByDefault are few under the race detector, which makes each six times as long: make test runs them all
// without it as well.
const simSeedsByDefault = 3

// SPDX-License-Identifier: Apache-2.0

//go:build !race

package controllers

// simSeedsByDefault are how many seeds TestRandomSchedules runs.
const simSeedsByDefault = 300

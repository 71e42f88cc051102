//go:build race

package controllers

// simSeedsByDefault are fewer under the race detector, which makes each six times as long.
const simSeedsByDefault = 40

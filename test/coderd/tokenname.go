// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"io"
)

// Words of the names that the server gives to tokens without one: adjective_surnameN (contract
// B.3).
var (
	adjectives = []string{
		"amber", "brisk", "calm", "deft", "eager", "fair", "gentle", "hardy", "ideal", "jolly", "keen", "lucid", "mild",
		"noble", "open", "plain", "quick", "ready", "stout", "tidy", "upbeat", "vivid", "warm", "young", "zesty",
	}
	surnames = []string{
		"abel", "bohr", "curie", "dirac", "euler", "fermi", "gauss", "hertz", "ising", "joule", "kepler", "lovelace",
		"maxwell", "noether", "ohm", "planck", "quine", "raman", "shannon", "turing", "ulam", "volta", "weyl",
		"yukawa", "zuse",
	}
)

// maxNameDraws bounds the search for a free name; a user would need thousands of drawn names to
// exhaust it.
const maxNameDraws = 1000

// freeTokenName draws a name that the user does not have yet.
func (s *Server) freeTokenName(u *user) (string, error) {
	var b [3]byte
	for range maxNameDraws {
		if _, err := io.ReadFull(s.opts.Random, b[:]); err != nil {
			return "", fmt.Errorf("drawing a token name: %w", err)
		}
		name := fmt.Sprintf("%s_%s%d", adjectives[int(b[0])%len(adjectives)], surnames[int(b[1])%len(surnames)], b[2]%10)
		if s.store.names[tokenName{u.id, name}] == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("drawing a token name: %w", ErrConflict)
}

// SPDX-License-Identifier: Apache-2.0

package cli

// painter adds colours for a terminal (ECMA-48, SGR). The zero value adds none.
type painter struct{ colours bool }

// by shows how well something is.
func (p painter) by(how health, text string) string {
	if !p.colours {
		return text
	}
	code := map[health]string{well: "32", resting: "36", warned: "33", wrong: "31"}[how]
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

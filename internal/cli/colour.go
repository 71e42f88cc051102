// SPDX-License-Identifier: Apache-2.0

package cli

// painter adds colours for a terminal (ECMA-48, SGR). The zero value adds none.
type painter struct{ colours bool }

// colourFor colours a text by the health level.
func (p painter) colourFor(how healthLevel, text string) string {
	if !p.colours {
		return text
	}
	code := map[healthLevel]string{healthy: "32", inactive: "36", degraded: "33", unhealthy: "31"}[how]
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// mostAlike is how many sessions that are in the same state are named where not all are asked for.
const mostAlike = 5

// tree draws branches for people. Whatever comes from the cluster is made harmless; colours are added after that.
type tree struct {
	now time.Time
	// whole names each session, with more about it.
	whole bool
	paint painter

	text strings.Builder
}

// row is a part of a branch: a row, and what is below it.
type row struct {
	health health
	// cells of the row, which are aligned with those of the other rows; the second is the state.
	cells []string
	lines []string
}

// draw returns the branches as text.
func (t *tree) draw(all []deploymentNode) string {
	for i := range all {
		if i > 0 {
			t.text.WriteByte('\n')
		}
		t.branch(&all[i])
	}
	if len(all) > 0 {
		t.text.WriteByte('\n')
	}
	t.text.WriteString(summary(all) + "\n")
	return t.text.String()
}

func (t *tree) branch(b *deploymentNode) {
	t.write("", b.key.String()+"  ", t.paint.by(b.found.health, harmless(b.found.state)), suffix(since(b.found, t.now)))
	var lines []string
	lines = append(lines, explanation(b.found)...)
	if b.deployment != nil {
		lines = append(lines, serverLine(b.deployment, t.now))
		lines = append(lines, endsLine(b.deployment, t.now)...)
	}
	for _, line := range lines {
		t.write("│  ", line)
	}
	twigs := t.twigs(b)
	widths := columns(twigs)
	for i, twig := range twigs {
		fork, below := "├─ ", "│  "
		if i == len(twigs)-1 {
			fork, below = "└─ ", "   "
		}
		t.row(fork, twig, widths)
		for _, line := range twig.lines {
			t.write(below+"  ", line)
		}
	}
}

// twigs are the sessions of a branch, and what stands for those that are not named.
func (t *tree) twigs(b *deploymentNode) []row {
	var twigs []row
	for start := 0; start < len(b.sessions); {
		end := start + 1
		for end < len(b.sessions) && alike(b.sessions[start].found, b.sessions[end].found) {
			end++
		}
		twigs = append(twigs, t.group(b.sessions[start:end])...)
		start = end
	}
	switch {
	case b.unlisted > 0:
		twigs = append(twigs, row{cells: []string{fmt.Sprintf("%s of namespaces that you may not list", count(b.unlisted, "more session"))}})
	case len(b.sessions) == 0:
		twigs = append(twigs, row{cells: []string{"no sessions"}})
	}
	return twigs
}

func alike(a, b finding) bool { return a.health == b.health && a.state == b.state }

// group is about sessions in the same state.
func (t *tree) group(leaves []sessionNode) []row {
	state, health := leaves[0].found.state, leaves[0].found.health
	if !t.whole && health <= resting {
		return []row{{cells: []string{count(len(leaves), "session") + " " + state}, health: health}}
	}
	named := leaves
	if !t.whole && len(leaves) > mostAlike+1 {
		named = leaves[:mostAlike]
	}
	var twigs []row
	for i := range named {
		l := &named[i]
		next := row{health: health, cells: append([]string{keyOf(*l).String(), join(", ", state, since(l.found, t.now))}, t.details(l)...)}
		// What is the same for several is said once, below the last of them.
		if i == len(named)-1 || !sameText(named[i+1].found, l.found) {
			next.lines = explanation(l.found)
		}
		twigs = append(twigs, next)
	}
	if left := len(leaves) - len(named); left > 0 {
		twigs = append(twigs, row{health: health, cells: []string{fmt.Sprintf("and %d more %s: -o wide names them", left, state)}})
	}
	return twigs
}

func sameText(a, b finding) bool { return a.message == b.message && a.remedy == b.remedy }

// details of a session, where all is asked for.
func (t *tree) details(l *sessionNode) []string {
	if !t.whole {
		return nil
	}
	return sessionCells(l.session, t.now)
}

// explanation is why something is as it is, and what to do about it.
func explanation(f finding) []string {
	var lines []string
	if f.message != "" {
		lines = append(lines, harmless(oneLine(f.message)))
	}
	if f.remedy != "" {
		lines = append(lines, "→ "+harmless(oneLine(f.remedy)))
	}
	return lines
}

func (t *tree) row(fork string, twig row, widths []int) {
	var parts []string
	for i, cell := range twig.cells {
		cell = harmless(cell)
		pad := ""
		if i < len(twig.cells)-1 {
			pad = strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		}
		if i == 1 || len(twig.cells) == 1 {
			cell = t.paint.by(twig.health, cell)
		}
		parts = append(parts, cell+pad)
	}
	t.text.WriteString(fork + strings.TrimRight(strings.Join(parts, ""), " ") + "\n")
}

// columns are the widths of the cells, of rows that have more than one.
func columns(twigs []row) []int {
	var widths []int
	for _, twig := range twigs {
		for i, cell := range twig.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if len(twig.cells) > 1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(harmless(cell)))
			}
		}
	}
	return widths
}

// write adds a line.
func (t *tree) write(margin string, parts ...string) {
	t.text.WriteString(margin + strings.TrimRight(strings.Join(parts, ""), " ") + "\n")
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// maxNamedPerState is how many sessions with the same state are listed by name, unless all are
// requested.
const maxNamedPerState = 5

// tree renders deployments and sessions as text for people. Text from the cluster is sanitized
// before colours are added.
type tree struct {
	now time.Time
	// detailed lists every session by name, with more columns.
	detailed bool
	paint    painter

	text strings.Builder
}

// row is one line of the tree, with the lines of text below it.
type row struct {
	level healthLevel
	// cells are the columns, which are aligned with those of the other rows. The second is the
	// state.
	cells []string
	lines []string
	// header is true for the row that names the columns.
	header bool
}

// render returns the tree as text.
func (t *tree) render(all []deploymentNode) string {
	for i := range all {
		if i > 0 {
			t.text.WriteByte('\n')
		}
		t.writeDeployment(&all[i])
	}
	if len(all) > 0 {
		t.text.WriteByte('\n')
	}
	t.text.WriteString(summary(all) + "\n")
	return t.text.String()
}

func (t *tree) writeDeployment(b *deploymentNode) {
	t.writeLine("", b.key.String()+"  ", t.paint.colourFor(b.health.level, sanitize(b.health.state)),
		commaSuffix(formatSince(b.health, t.now)))
	var lines []string
	lines = append(lines, explanationLines(b.health)...)
	if b.deployment != nil {
		lines = append(lines, serverLine(b.deployment, t.now))
		lines = append(lines, expirationLines(b.deployment, t.now)...)
	}
	for _, line := range lines {
		t.writeLine("│  ", line)
	}
	rows := t.sessionRows(b)
	widths := columnWidths(rows)
	for i, entry := range rows {
		fork, below := "├─ ", "│  "
		switch {
		case entry.header:
			fork = below
		case i == len(rows)-1:
			fork, below = "└─ ", "   "
		}
		t.writeRow(fork, entry, widths)
		for _, line := range entry.lines {
			t.writeLine(below+"  ", line)
		}
	}
}

// sessionRows returns the rows of a deployment's sessions, grouped by state.
func (t *tree) sessionRows(b *deploymentNode) []row {
	var rows []row
	if t.detailed && len(b.sessions) > 0 {
		rows = append(rows, row{cells: sessionColumns, header: true})
	}
	rows = append(rows, t.rowsByState(b.sessions)...)
	switch {
	case b.hiddenSessions > 0:
		rows = append(rows, row{cells: []string{
			fmt.Sprintf("%s of namespaces that you may not list", formatCount(b.hiddenSessions, "more session"))}})
	case len(b.sessions) == 0:
		rows = append(rows, row{cells: []string{"no sessions"}})
	}
	return rows
}

// rowsByState returns the rows of sessions, grouped by state. One with perPod has rows of its own, with
// those of its pods below.
func (t *tree) rowsByState(nodes []sessionNode) []row {
	var rows []row
	for start := 0; start < len(nodes); {
		if nodes[start].session.Spec.PerPod != nil {
			rows = append(rows, t.perPodRow(&nodes[start]))
			rows = append(rows, t.podRows(nodes[start].pods)...)
			start++
			continue
		}
		end := start + 1
		for end < len(nodes) && nodes[end].session.Spec.PerPod == nil &&
			haveSameState(nodes[start].health, nodes[end].health) {
			end++
		}
		rows = append(rows, t.groupRows(nodes[start:end])...)
		start = end
	}
	return rows
}

// perPodRow returns the row of a session with perPod.
func (t *tree) perPodRow(node *sessionNode) row {
	state := joinNonEmpty(", ", node.health.state, formatSince(node.health, t.now))
	entry := row{level: node.health.level, lines: explanationLines(node.health),
		cells: append([]string{node.title(), state}, t.detailCells(node)...)}
	if pods := podCounts(node.session); !t.detailed && pods != "" {
		entry.cells[1] += "; " + pods
	}
	return entry
}

func haveSameState(a, b health) bool { return a.level == b.level && a.state == b.state }

// groupRows returns the rows of sessions with the same state.
func (t *tree) groupRows(nodes []sessionNode) []row {
	state, health := nodes[0].health.state, nodes[0].health.level
	if !t.detailed && health <= inactive {
		return []row{{cells: []string{formatCount(len(nodes), "session") + " " + state}, level: health}}
	}
	named := nodes
	if !t.detailed && len(nodes) > maxNamedPerState+1 {
		named = nodes[:maxNamedPerState]
	}
	var rows []row
	for i := range named {
		node := &named[i]
		next := row{level: health, cells: append(
			[]string{node.title(), joinNonEmpty(", ", state, formatSince(node.health, t.now))},
			t.detailCells(node)...)}
		// An explanation that several sessions share is shown once, below the last of them.
		if i == len(named)-1 || !haveSameText(named[i+1].health, node.health) {
			next.lines = explanationLines(node.health)
		}
		rows = append(rows, next)
	}
	if left := len(nodes) - len(named); left > 0 {
		rows = append(rows, row{level: health,
			cells: []string{fmt.Sprintf("and %d more %s: -o wide names them", left, state)}})
	}
	return rows
}

func haveSameText(a, b health) bool { return a.message == b.message && a.remedy == b.remedy }

// detailCells returns the additional columns of a detailed tree.
func (t *tree) detailCells(node *sessionNode) []string {
	if !t.detailed {
		return nil
	}
	return sessionCells(node.session, t.now)
}

// explanationLines returns the message, and the remedy after an arrow.
func explanationLines(f health) []string {
	var lines []string
	if f.message != "" {
		lines = append(lines, sanitize(oneLine(f.message)))
	}
	if f.remedy != "" {
		lines = append(lines, "→ "+sanitize(oneLine(f.remedy)))
	}
	return lines
}

func (t *tree) writeRow(fork string, entry row, widths []int) {
	var parts []string
	for i, cell := range entry.cells {
		cell = sanitize(cell)
		pad := ""
		if i < len(entry.cells)-1 {
			pad = strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		}
		if !entry.header && (i == 1 || len(entry.cells) == 1) {
			cell = t.paint.colourFor(entry.level, cell)
		}
		parts = append(parts, cell+pad)
	}
	t.text.WriteString(fork + strings.TrimRight(strings.Join(parts, ""), " ") + "\n")
}

// columnWidths returns the width of each column, in characters, of the rows that have more than one
// cell.
func columnWidths(rows []row) []int {
	var widths []int
	for _, entry := range rows {
		for i, cell := range entry.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if len(entry.cells) > 1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(sanitize(cell)))
			}
		}
	}
	return widths
}

// writeLine adds a line.
func (t *tree) writeLine(margin string, parts ...string) {
	t.text.WriteString(margin + strings.TrimRight(strings.Join(parts, ""), " ") + "\n")
}

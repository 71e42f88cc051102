// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Of a terminal, in pixels: a character cell, what is around the text, and the bar with the buttons.
const (
	cellWidth, cellHeight = 8.4, 20.0
	terminalMargin        = 20.0
	terminalBar           = 36.0
)

// sgrClasses are the colours by their codes (ECMA-48, SGR).
var sgrClasses = map[string]string{"0": "", "31": "red", "32": "green", "33": "yellow", "36": "cyan"}

// terminalStyle has the colours of GitHub's pages.
const terminalStyle = `
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328 }
.window { fill: #f6f8fa; stroke: #d1d9e0 } .button { fill: #d1d9e0 } .prompt { fill: #59636e }
.tree { stroke: #818b98; fill: none }
.red { fill: #cf222e } .green { fill: #1a7f37 } .yellow { fill: #9a6700 } .cyan { fill: #1b7c83 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .window { fill: #151b23; stroke: #3d444d } .button { fill: #3d444d } .prompt { fill: #9198a1 }
  .tree { stroke: #656c76 }
  .red { fill: #ff7b72 } .green { fill: #3fb950 } .yellow { fill: #d29922 } .cyan { fill: #39c5cf }
}
`

// Terminal draws a command and its output in a terminal's window. The output may have the colours
// red, green, yellow and cyan; an error names another control sequence.
func Terminal(command, output string) (string, error) {
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	columns := utf8.RuneCountInString("$ " + command)
	var body, tree strings.Builder
	writeRun(&body, run{class: "prompt", text: "$"}, 0)
	writeRun(&body, run{column: 2, text: command}, 0)
	for i, line := range lines {
		runs, err := splitRuns(line)
		if err != nil {
			return "", fmt.Errorf("line %d: %w", i+1, err)
		}
		for _, r := range runs {
			columns = max(columns, r.column+utf8.RuneCountInString(r.text))
			writeRun(&body, drawTree(&tree, r, i+1), i+1)
		}
	}
	width := float64(columns)*cellWidth + 2*terminalMargin
	height := float64(len(lines)+1)*cellHeight + terminalBar + terminalMargin
	var all strings.Builder
	fmt.Fprintf(&all, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f">`,
		width, height, width, height)
	fmt.Fprintf(&all, "\n<style>%s</style>\n", terminalStyle)
	fmt.Fprintf(&all, `<rect class="window" x="0.5" y="0.5" width="%.0f" height="%.0f" rx="8"/>`+"\n", width-1, height-1)
	for i := range 3 {
		fmt.Fprintf(&all, `<circle class="button" cx="%d" cy="18" r="5.5"/>`+"\n", 20+i*18)
	}
	fmt.Fprintf(&all, `<path class="tree" d="%s"/>`+"\n%s</svg>\n", strings.TrimSpace(tree.String()), body.String())
	return all.String(), nil
}

// run is text of one colour in a line.
type run struct {
	class, text string
	column      int // of its first character
}

// splitRuns splits a line where the colour changes.
func splitRuns(line string) (runs []run, err error) {
	class, column := "", 0
	for line != "" {
		text, rest, found := strings.Cut(line, "\x1b[")
		if text != "" {
			runs = append(runs, run{class: class, text: text, column: column})
			column += utf8.RuneCountInString(text)
		}
		if !found {
			return runs, nil
		}
		code, after, _ := strings.Cut(rest, "m")
		known := false
		if class, known = sgrClasses[code]; !known {
			return nil, fmt.Errorf("control sequence %q is none of the plugin's colours", code)
		}
		line = after
	}
	return runs, nil
}

// drawTree draws the characters of a tree with which a run begins as lines, which meet those of the
// next line in every font, and returns the rest of the run.
func drawTree(into *strings.Builder, r run, row int) run {
	for r.text != "" {
		first, size := utf8.DecodeRuneInString(r.text)
		if !strings.ContainsRune(" │├└─", first) {
			return r
		}
		x, top := cellCorner(r.column, row)
		middle, centre := x+cellWidth/2, top+cellHeight/2
		switch first {
		case '│', '├':
			fmt.Fprintf(into, "M%.1f %.1fv%.1f", middle, top, cellHeight)
		case '└':
			fmt.Fprintf(into, "M%.1f %.1fV%.1f", middle, top, centre)
		}
		switch first {
		case '├', '└':
			fmt.Fprintf(into, "M%.1f %.1fh%.1f", middle, centre, cellWidth/2)
		case '─':
			fmt.Fprintf(into, "M%.1f %.1fh%.1f", x, centre, cellWidth)
		}
		r.text, r.column = r.text[size:], r.column+1
	}
	return r
}

// cellCorner is the upper left corner of a character.
func cellCorner(column, row int) (x, y float64) {
	return terminalMargin + float64(column)*cellWidth, terminalBar + float64(row)*cellHeight
}

// writeRun writes text with a fixed length, so that columns are where they belong in every font.
func writeRun(into *strings.Builder, r run, row int) {
	text := strings.TrimLeft(r.text, " ")
	r.column += len(r.text) - len(text)
	text = strings.TrimRight(text, " ")
	if text == "" {
		return
	}
	x, y := cellCorner(r.column, row)
	fmt.Fprintf(into, `<text x="%.1f" y="%.1f" textLength="%.1f" lengthAdjust="spacingAndGlyphs" xml:space="preserve"`,
		x, y+cellHeight*0.7, float64(utf8.RuneCountInString(text))*cellWidth)
	if r.class != "" {
		fmt.Fprintf(into, ` class=%q`, r.class)
	}
	fmt.Fprintf(into, ">%s</text>\n", Escape(text))
}

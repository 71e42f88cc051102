// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"fmt"
	"strings"
	"time"
)

// PanelKind is what a panel of a dashboard looks like, in Grafana's words.
type PanelKind string

// Kinds of panels. A row is the heading of those below it.
const (
	Row        PanelKind = "row"
	Stat       PanelKind = "stat"
	Table      PanelKind = "table"
	TimeSeries PanelKind = "timeseries"
)

// Panel is a panel with what its queries have answered.
type Panel struct {
	Kind  PanelKind
	Title string
	// X, Y, Width and Height are in cells, of which 24 are side by side.
	X, Y, Width, Height int
	// Unit in Grafana's words: none, s, ops or percentunit.
	Unit string
	// Series of a stat and of time series. None: there is no data.
	Series []Series
	// Cells of a table; the first line has the names of the columns.
	Cells [][]string
}

// Series is a line with its name in the legend. The name may be empty.
type Series struct {
	Name   string
	Points []Point
}

// Point is a value at a time since the start of the dashboard's range.
type Point struct {
	At    time.Duration
	Value float64
}

// Dashboard is what is drawn: panels of a range of time that begins at 0.
type Dashboard struct {
	Title  string
	Range  time.Duration
	Panels []Panel
}

// In pixels: a cell with the gap to the next one, that gap, the heading of the page, and around the text of a panel.
const (
	panelCellWidth, panelCellHeight = 49.0, 29.0
	panelGap, dashboardBar          = 8.0, 44.0
	panelMargin                     = 10.0
	dashboardColumns                = 24
)

// dashboardStyle has the colours of Grafana's themes.
const dashboardStyle = `
text { font: 12px Inter, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; fill: #24292e }
.page { fill: #f4f5f5; stroke: #d1d9e0 } .panel { fill: #ffffff; stroke: #e4e5e6 }
.title { font-weight: 500 } .head { font-size: 15px; font-weight: 500 } .axis { font-size: 10.5px; fill: #6e7178 }
.end { text-anchor: end } .middle { text-anchor: middle } .grid { stroke: #24292e; stroke-opacity: 0.1; fill: none }
.big { font-size: 34px; font-weight: 500; text-anchor: middle } .good { fill: #1a7f4b } .quiet { fill: #6e7178 }
.line { fill: none; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round }
.c0 { stroke: #37872d } .c1 { stroke: #e0a100 } .c2 { stroke: #1f60c4 } .c3 { stroke: #fa6400 }
.c4 { stroke: #c4162a } .c5 { stroke: #3274d9 } .c6 { stroke: #8f3bb8 } .c7 { stroke: #6ccf8e }
@media (prefers-color-scheme: dark) {
  text { fill: #ccccdc }
  .page { fill: #111217; stroke: #3d444d } .panel { fill: #181b1f; stroke: #24262b }
  .axis, .quiet { fill: #9fa1ab } .grid { stroke: #ccccdc } .good { fill: #6ccf8e }
  .c0 { stroke: #73bf69 } .c1 { stroke: #f2cc0c } .c2 { stroke: #8ab8ff } .c3 { stroke: #ff780a }
  .c4 { stroke: #f2495c } .c5 { stroke: #5794f2 } .c6 { stroke: #b877d9 }
}
`

// lineColours is how many classes of colours there are.
const lineColours = 8

// Draw draws the dashboard.
func (d Dashboard) Draw() string {
	rows := 0
	for _, p := range d.Panels {
		rows = max(rows, p.Y+p.Height)
	}
	width := dashboardColumns*panelCellWidth + panelGap
	height := float64(rows)*panelCellHeight + dashboardBar + panelGap
	var all strings.Builder
	fmt.Fprintf(&all, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f">`,
		width, height, width, height)
	fmt.Fprintf(&all, "\n<style>%s</style>\n", dashboardStyle)
	fmt.Fprintf(&all, `<rect class="page" x="0.5" y="0.5" width="%.0f" height="%.0f" rx="8"/>`+"\n", width-1, height-1)
	writeText(&all, "head", 2*panelGap, 28, d.Title)
	writeText(&all, "quiet end", width-2*panelGap, 28, "Last "+formatValue(d.Range.Seconds(), "s"))
	for _, p := range d.Panels {
		p.draw(&all, d.Range)
	}
	return all.String() + "</svg>\n"
}

// frame is a rectangle in pixels.
type frame struct{ x, y, width, height float64 }

func (p Panel) frame() frame {
	return frame{
		x: panelGap + float64(p.X)*panelCellWidth, y: dashboardBar + float64(p.Y)*panelCellHeight,
		width: float64(p.Width)*panelCellWidth - panelGap, height: float64(p.Height)*panelCellHeight - panelGap,
	}
}

func (p Panel) draw(into *strings.Builder, over time.Duration) {
	f := p.frame()
	if p.Kind == Row {
		writeText(into, "head", f.x+panelGap, f.y+16, "⌄ "+p.Title)
		return
	}
	fmt.Fprintf(into, `<rect class="panel" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"/>`+"\n",
		f.x, f.y, f.width, f.height)
	writeText(into, "title", f.x+panelMargin, f.y+20, shorten(p.Title, f.width-2*panelMargin))
	inner := frame{f.x + panelMargin, f.y + 32, f.width - 2*panelMargin, f.height - 32 - panelMargin}
	switch {
	case len(p.Series) == 0 && len(p.Cells) == 0:
		writeText(into, "quiet middle", f.x+f.width/2, inner.y+inner.height/2, "No data")
	case p.Kind == Stat:
		points := p.Series[0].Points
		writeText(into, "big good", f.x+f.width/2, inner.y+inner.height/2+12,
			formatValue(points[len(points)-1].Value, p.Unit))
	case p.Kind == Table:
		drawTable(into, inner, p.Cells)
	default:
		drawTimeSeries(into, inner, p, over)
	}
}

// shorten cuts a text that is too long for a width in pixels.
func shorten(text string, width float64) string {
	if most := int(width / labelCharacter); len(text) > most {
		return text[:most-1] + "…"
	}
	return text
}

func drawTable(into *strings.Builder, f frame, cells [][]string) {
	for row, line := range cells {
		y := f.y + 14 + float64(row)*24
		for column, text := range line {
			class := ""
			if row == 0 {
				class = "quiet"
			}
			writeText(into, class, f.x+float64(column)*f.width/float64(len(line)), y, text)
		}
		fmt.Fprintf(into, `<path class="grid" d="M%.1f %.1fh%.1f"/>`+"\n", f.x, y+8, f.width)
	}
}

// writeText writes a text at a place.
func writeText(into *strings.Builder, class string, x, y float64, text string) {
	if class != "" {
		class = fmt.Sprintf(" class=%q", class)
	}
	fmt.Fprintf(into, `<text%s x="%.1f" y="%.1f">%s</text>`+"\n", class, x, y, Escape(text))
}

// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"fmt"
	"strings"
	"time"
)

// In pixels: the labels of the time below a plot and beyond its end, a line of the legend, and a character of a label.
const (
	axisHeight, axisEnd = 18.0, 16.0
	legendHeight        = 17.0
	labelCharacter      = 6.2
	legendMark          = 22.0
	// hoursPerTick is the distance of two labels of the time.
	hoursPerTick = 4
)

// drawTimeSeries draws lines with their axes and their legend.
func drawTimeSeries(into *strings.Builder, f frame, p Panel, over time.Duration) {
	lines := drawLegend(into, f, p.Series)
	largest := 0.0
	for _, s := range p.Series {
		for _, point := range s.Points {
			largest = max(largest, point.Value)
		}
	}
	ticks, labels := axisTicks(largest, p.Unit)
	beside := 0.0
	for _, label := range labels {
		beside = max(beside, panelMargin+float64(len(label))*labelCharacter)
	}
	plot := frame{f.x + beside, f.y, f.width - beside - axisEnd, f.height - axisHeight - float64(lines)*legendHeight}
	top := ticks[len(ticks)-1]
	for i, tick := range ticks {
		y := plot.y + plot.height*(1-tick/top)
		fmt.Fprintf(into, `<path class="grid" d="M%.1f %.1fh%.1f"/>`+"\n", plot.x, y, plot.width)
		writeText(into, "axis end", plot.x-6, y+4, labels[i])
	}
	for at := time.Duration(0); at <= over; at += hoursPerTick * time.Hour {
		x := plot.x + plot.width*at.Seconds()/over.Seconds()
		writeText(into, "axis middle", x, plot.y+plot.height+14, fmt.Sprintf("%02d:00", int(at.Hours())))
	}
	for i, s := range p.Series {
		fmt.Fprintf(into, `<path class="line c%d" d="%s"/>`+"\n", i%lineColours, tracePath(plot, s.Points, top, over))
	}
}

// tracePath is the line through points. It has a gap where points are further apart than the first two.
func tracePath(plot frame, points []Point, top float64, over time.Duration) string {
	var path strings.Builder
	for i, point := range points {
		joined := i > 0 && point.At-points[i-1].At <= points[1].At-points[0].At
		level := joined && i+1 < len(points) && points[i-1].Value == point.Value && points[i+1].Value == point.Value &&
			points[i+1].At-point.At == point.At-points[i-1].At
		if level {
			continue // on the way from the point before to the next one
		}
		form := "M%.1f %.1fh0" // which is a dot if no line follows
		if joined {
			form = "L%.1f %.1f"
		}
		fmt.Fprintf(&path, form, plot.x+plot.width*point.At.Seconds()/over.Seconds(),
			plot.y+plot.height*(1-point.Value/top))
	}
	return path.String()
}

// drawLegend draws the names of series from the bottom of a frame, and returns how many lines it needs.
func drawLegend(into *strings.Builder, f frame, all []Series) (lines int) {
	type mark struct {
		x    float64
		line int
	}
	marks := make([]mark, len(all))
	x := 0.0
	for i, s := range all {
		width := legendMark + float64(len(s.Name))*labelCharacter + panelMargin
		if x > 0 && x+width > f.width {
			x, lines = 0, lines+1
		}
		marks[i] = mark{x, lines}
		x += width
	}
	lines++
	for i, s := range all {
		x, y := f.x+marks[i].x, f.y+f.height-float64(lines-1-marks[i].line)*legendHeight
		fmt.Fprintf(into, `<path class="line c%d" d="M%.1f %.1fh14" style="stroke-width:3"/>`+"\n", i%lineColours, x, y-4)
		writeText(into, "axis", x+legendMark-2, y, s.Name)
	}
	return lines
}

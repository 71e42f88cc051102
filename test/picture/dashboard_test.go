// SPDX-License-Identifier: Apache-2.0

package picture_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/picture"
)

// everyTwoHours are points from 0:00 on.
func everyTwoHours(values ...float64) (points []picture.Point) {
	for i, value := range values {
		points = append(points, picture.Point{At: time.Duration(2*i) * time.Hour, Value: value})
	}
	return points
}

func TestADashboardShowsItsPanels(t *testing.T) {
	t.Parallel()
	gap := append(everyTwoHours(1, 1), picture.Point{At: 8 * time.Hour, Value: 1})
	for name, test := range map[string]struct {
		panel  picture.Panel
		wanted []string
	}{
		"a heading": {picture.Panel{Kind: picture.Row, Title: "Health"}, []string{">⌄ Health<"}},
		"a number": {
			picture.Panel{Kind: picture.Stat, Unit: "none", Series: []picture.Series{{Points: everyTwoHours(5, 0)}}},
			[]string{`class="big good"`, ">0<"},
		},
		"a table": {
			picture.Panel{Kind: picture.Table, Cells: [][]string{{"version"}, {"v1"}}}, []string{">version<", ">v1<"},
		},
		"a title that is too long": {
			picture.Panel{Kind: picture.Stat, Title: "Deployments that are not Ready"},
			[]string{">Deployments that are not R…<"},
		},
		"no answer": {picture.Panel{Kind: picture.TimeSeries}, []string{">No data<"}},
		"lines with a legend": {
			picture.Panel{Kind: picture.TimeSeries, Unit: "s", Width: 8, Height: 8, Series: []picture.Series{
				{Name: "coder/prod", Points: everyTwoHours(3600, 10800)}, {Name: "a<b", Points: everyTwoHours(0, 0)},
			}},
			[]string{">0<", ">1 h<", ">3 h<", ">00:00<", ">12:00<", ">coder/prod<", ">a&lt;b<", `"line c0"`, `"line c1"`},
		},
		"a share": {
			picture.Panel{Kind: picture.TimeSeries, Unit: "percentunit", Width: 8, Height: 8,
				Series: []picture.Series{{Points: everyTwoHours(0.5, 1)}}},
			[]string{">50 %<", ">100 %<"},
		},
		"a gap": {
			picture.Panel{Kind: picture.TimeSeries, Unit: "none", Width: 8, Height: 8, Series: []picture.Series{{Points: gap}}},
			[]string{"h0L", `h0"`},
		},
	} {
		test.panel.Width, test.panel.Height = max(test.panel.Width, 4), max(test.panel.Height, 4)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drawing := picture.Dashboard{Range: 12 * time.Hour, Panels: []picture.Panel{test.panel}}.Draw()
			for _, text := range test.wanted {
				if !strings.Contains(drawing, text) {
					t.Errorf("there is no %s in\n%s", text, drawing)
				}
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/coder-session-operator/coder-session-operator/test/picture"
)

var update = flag.Bool("update", false, "write docs/images/dashboard.svg as it is drawn now")

// dashboard is what is read of the chart's dashboard.
type dashboard struct {
	Title  string  `json:"title"`
	Panels []panel `json:"panels"`
}

type panel struct {
	Title    string `json:"title"`
	Type     string `json:"type"`
	Position struct {
		X      int `json:"x"`
		Y      int `json:"y"`
		Width  int `json:"w"`
		Height int `json:"h"`
	} `json:"gridPos"`
	Targets []struct {
		Expr   string `json:"expr"`
		Legend string `json:"legendFormat"`
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

// readDashboard reads it, with Grafana's variables replaced in its queries.
func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(chart + "/files/dashboards/coder-session-operator.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", rateInterval.String(), "$namespace", ".*", "$deployment", ".*")
	for _, p := range d.Panels {
		for i := range p.Targets {
			p.Targets[i].Expr = variables.Replace(p.Targets[i].Expr)
		}
	}
	return d
}

// queries returns those of the panels by their titles.
func (d dashboard) queries() map[string][]string {
	queries := map[string][]string{}
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries[panel.Title] = append(queries[panel.Title], target.Expr)
		}
	}
	return queries
}

const (
	// rateInterval is what Grafana takes for scrapeInterval and a day: four scrapes, and at least drawStep and one.
	rateInterval = 4 * scrapeInterval
	// drawStep is the time between two points of a line.
	drawStep = 4 * time.Minute
	// drawnRows is how much of the dashboard the picture shows, in rows of its grid: health, sessions and tokens.
	drawnRows = 22
)

// The picture shows what the queries of the dashboard answer on a day of the operator: an API server in memory, the
// simulated Coder server, and Prometheus' engine. make pictures draws it.
func TestTheDashboardIsWhatTheREADMEShows(t *testing.T) {
	db := openDatabase(t)
	end := runDay(t, db)
	read := readDashboard(t)
	drawn := picture.Dashboard{Title: read.Title, Range: dayLength}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute})
	for _, p := range read.Panels {
		if p.Position.Y < drawnRows {
			drawn.Panels = append(drawn.Panels, p.answer(t, engine, db, end))
		}
	}
	picture.CompareForTest(t, "docs/images/dashboard.svg", drawn.Draw(), *update)
}

// answer returns a panel with the answers of its queries over the day that ends at a time.
func (p panel) answer(t *testing.T, engine *promql.Engine, db storage.Queryable, end time.Time) picture.Panel {
	t.Helper()
	drawn := picture.Panel{
		Kind: picture.PanelKind(p.Type), Title: p.Title, Unit: p.FieldConfig.Defaults.Unit,
		X: p.Position.X, Y: p.Position.Y, Width: p.Position.Width, Height: p.Position.Height,
	}
	start := end.Add(-dayLength)
	for _, target := range p.Targets {
		query, err := engine.NewRangeQuery(context.Background(), db, nil, target.Expr, start, end, drawStep)
		if err != nil {
			t.Fatalf("%s: %v", p.Title, err)
		}
		matrix, err := query.Exec(context.Background()).Matrix()
		if err != nil {
			t.Fatalf("%s: %v", p.Title, err)
		}
		slices.SortFunc(matrix, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
		for _, series := range matrix {
			if drawn.Kind == picture.Table {
				drawn.Cells = append(drawn.Cells, tableCells(series.Metric, len(drawn.Cells) == 0)...)
				continue
			}
			drawn.Series = append(drawn.Series, lineOf(series, cmp.Or(target.Legend, p.Title), start))
		}
		query.Close()
	}
	return drawn
}

// tableCells are the labels of a series, and their names before those of the first one.
func tableCells(metric labels.Labels, first bool) (cells [][]string) {
	var names, values []string
	metric.Range(func(l labels.Label) {
		names, values = append(names, l.Name), append(values, l.Value)
	})
	if first {
		cells = append(cells, names)
	}
	return append(cells, values)
}

var legendLabel = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

// lineOf is the line of a series.
func lineOf(series promql.Series, legend string, start time.Time) picture.Series {
	line := picture.Series{Name: legendLabel.ReplaceAllStringFunc(legend, func(match string) string {
		return series.Metric.Get(legendLabel.FindStringSubmatch(match)[1])
	})}
	for _, point := range series.Floats {
		if point.F == point.F { // a quantile of nothing is no number
			line.Points = append(line.Points, picture.Point{At: time.UnixMilli(point.T).Sub(start), Value: point.F})
		}
	}
	return line
}

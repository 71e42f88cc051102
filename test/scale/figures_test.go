// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// figures are what one benchmark has measured, by unit. A unit that is measured
// several times is reported as its median.
type figures struct {
	b       *testing.B
	units   []string // in the order of their first sample
	samples map[string][]float64
}

func newFigures(b *testing.B) *figures {
	return &figures{b: b, samples: map[string][]float64{}}
}

func (f *figures) addSample(unit string, value float64) {
	if _, known := f.samples[unit]; !known {
		f.units = append(f.units, unit)
	}
	f.samples[unit] = append(f.samples[unit], value)
	if *largeSizes != "" { // it takes long
		fmt.Fprintf(os.Stderr, "%s %s %s\n", f.b.Name(), formatFigure(value), unit)
	}
}

// addEach adds counts, each divided by the same number of things.
func (f *figures) addEach(counts map[string]int, by float64, per string) {
	for _, call := range sortedCalls(counts) {
		f.addSample(strings.ReplaceAll(call, " ", "-")+"/"+per, float64(counts[call])/by)
	}
}

// addQuantiles adds how long each session took for something, in milliseconds.
func (f *figures) addQuantiles(name string, times []float64) {
	for _, percent := range []int{50, 95, 99} {
		f.addSample(fmt.Sprintf("%s-p%d-ms", name, percent), quantile(times, float64(percent)/100))
	}
}

// addGrowth adds what became of each figure per session, as a multiple of the first size's.
func (f *figures) addGrowth(first *figures) {
	for _, unit := range slices.Clone(f.units) {
		if before := first.medianOf(unit); before > 0 && strings.HasSuffix(unit, "/session") {
			f.addSample("x-of-first-size:"+unit, f.medianOf(unit)/before)
		}
	}
}

func (f *figures) medianOf(unit string) float64 { return quantile(f.samples[unit], 0.5) }

// reportAll hands everything to the benchmark and to the table of the whole run. The
// time of an operation would include the setup, so it is left out.
func (f *figures) reportAll() {
	f.b.ReportMetric(0, "ns/op")
	for _, unit := range f.units {
		f.b.ReportMetric(f.medianOf(unit), unit)
		all.addFigure(f.b.Name(), unit, f.medianOf(unit))
	}
}

// quantile is the smallest sample that at least the share q of all does not exceed.
func quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// table collects the figures of all benchmarks. It is safe for concurrent use.
type table struct {
	mu   sync.Mutex
	rows []row
}

type row struct {
	benchmark, unit string
	value           float64
}

// all is printed when the last benchmark has ended.
var all table

// addFigure replaces the figure of an earlier run of the same benchmark (-count).
func (t *table) addFigure(benchmark, unit string, value float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	benchmark = strings.TrimPrefix(benchmark, "Benchmark")
	for i := range t.rows {
		if t.rows[i].benchmark == benchmark && t.rows[i].unit == unit {
			t.rows[i].value = value
			return
		}
	}
	t.rows = append(t.rows, row{benchmark, unit, value})
}

// printAll prints a Markdown table for each benchmark, which has a column for each of its sizes.
func (t *table) printAll(to io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, rows := range t.byBenchmark() {
		var sizes, units []string
		values := map[[2]string]string{}
		for _, r := range rows {
			_, size, _ := strings.Cut(r.benchmark, "/")
			if !slices.Contains(sizes, size) {
				sizes = append(sizes, size)
			}
			if !slices.Contains(units, r.unit) {
				units = append(units, r.unit)
			}
			values[[2]string{r.unit, size}] = formatFigure(r.value)
		}
		name, _, _ := strings.Cut(rows[0].benchmark, "/")
		fmt.Fprintf(to, "\n| %s | %s |\n|---|%s\n", name, strings.Join(sizes, " | "), strings.Repeat("---|", len(sizes)))
		for _, unit := range units {
			fmt.Fprintf(to, "| %s |", unit)
			for _, size := range sizes {
				fmt.Fprintf(to, " %s |", values[[2]string{unit, size}])
			}
			fmt.Fprintln(to)
		}
	}
}

// byBenchmark groups the rows by the first part of the benchmark's name, in the order of the first of each.
func (t *table) byBenchmark() (groups [][]row) {
	index := map[string]int{}
	for _, r := range t.rows {
		name, _, _ := strings.Cut(r.benchmark, "/")
		i, known := index[name]
		if !known {
			i = len(groups)
			index[name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}

// formatFigure has three digits at least, and all before the point.
func formatFigure(value float64) string {
	if math.Abs(value) >= 100 {
		return strconv.FormatFloat(value, 'f', 0, 64)
	}
	return strconv.FormatFloat(value, 'g', 3, 64)
}

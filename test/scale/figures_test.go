// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
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
}

// addEach adds counts, each divided by the same number of things.
func (f *figures) addEach(counts map[string]int, by float64, per string) {
	for _, call := range sortedCalls(counts) {
		f.addSample(strings.ReplaceAll(call, " ", "-")+"/"+per, float64(counts[call])/by)
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

func (t *table) printAll(to io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	benchmark := ""
	for _, r := range t.rows {
		if r.benchmark != benchmark {
			benchmark = r.benchmark
			fmt.Fprintf(out, "\n%s\n", benchmark)
		}
		fmt.Fprintf(out, "  %.4g\t%s\n", r.value, r.unit)
	}
	_ = out.Flush()
}

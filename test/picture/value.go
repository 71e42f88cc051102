// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"math"
	"strconv"
)

// scale is a unit that values of a size are shown in.
type scale struct {
	from, divisor float64
	suffix        string
}

// scales of Grafana's units, the largest first. The last one is for all that is smaller.
var scales = map[string][]scale{
	"s": {
		{172800, 86400, " d"}, {3600, 3600, " h"}, {60, 60, " min"}, {1, 1, " s"}, {0, 0.001, " ms"},
	},
	"ops":         {{0, 1, " ops/s"}},
	"percentunit": {{0, 0.01, " %"}},
}

// scaleOf returns the scale for values up to a size.
func scaleOf(size float64, unit string) scale {
	for _, s := range scales[unit] {
		if math.Abs(size) >= s.from {
			return s
		}
	}
	return scale{divisor: 1}
}

// formatValue returns a value with its unit.
func formatValue(value float64, unit string) string { return scaleOf(value, unit).format(value) }

// format returns a value of this scale with three significant digits.
func (s scale) format(value float64) string {
	if value == 0 {
		return "0"
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(value/s.divisor, 'g', 3, 64), 64)
	return strconv.FormatFloat(rounded, 'f', -1, 64) + s.suffix
}

// wantedTicks is about how many lines a plot has above 0.
const wantedTicks = 4

// axisTicks returns the values of an axis from 0 to at least the largest value, with their labels.
func axisTicks(largest float64, unit string) (ticks []float64, labels []string) {
	if largest <= 0 {
		largest = scaleOf(0, unit).divisor
	}
	s := scaleOf(largest, unit)
	step := roundStep(largest/s.divisor/wantedTicks) * s.divisor
	for tick := 0.0; ; tick = step * float64(len(ticks)) {
		ticks, labels = append(ticks, tick), append(labels, s.format(tick))
		if tick >= largest {
			return ticks, labels
		}
	}
}

// roundStep returns the next number of 1, 2 and 5 times a power of ten.
func roundStep(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, factor := range []float64{1, 2, 5} {
		if step <= factor*power*(1+1e-9) {
			return factor * power
		}
	}
	return 10 * power
}

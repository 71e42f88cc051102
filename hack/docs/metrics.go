// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
)

// collected records the metrics that a package registers.
type collected struct {
	prometheus.Registerer
	all []prometheus.Collector
}

func (c *collected) MustRegister(collectors ...prometheus.Collector) {
	c.all = append(c.all, collectors...)
}

// metric is one row of the table.
type metric struct{ name, kind, labels, help string }

// metricsPage lists the metrics that the operator registers.
func metricsPage(page *bytes.Buffer) error {
	registerer := &collected{}
	metrics.New(registerer)
	var rows []metric
	for _, collector := range registerer.all {
		described, err := describeMetrics(collector)
		if err != nil {
			return err
		}
		rows = append(rows, described...)
	}
	slices.SortFunc(rows, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	page.WriteString(text("metrics") + "\n")
	page.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, row := range rows {
		fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", row.name, row.kind, row.labels, row.help)
	}
	page.WriteString("\n")
	alerts := text("metrics-alerts")
	page.WriteString(alerts)
	for _, name := range metricName.FindAllString(alerts, -1) {
		name = strings.TrimSuffix(name, "_bucket") // a series of a histogram
		if !slices.ContainsFunc(rows, func(row metric) bool { return row.name == name }) {
			return fmt.Errorf("an alert is about %s, which is not registered", name)
		}
	}
	return nil
}

// metricName matches the name of a metric of the operator in an expression.
var metricName = regexp.MustCompile(`\bcoder_session_operator_\w+`)

// descriptor parses the text of a Desc, which gives no other access to its parts.
var descriptor = regexp.MustCompile(
	`^Desc\{fqName: "([^"]+)", help: "([^"]*)", (?:unit: "[^"]*", )?constLabels: \{\}, variableLabels: \{([^}]*)\}`)

// describeMetrics describes the metrics of a collector. One that has several computes gauges.
func describeMetrics(collector prometheus.Collector) ([]metric, error) {
	descriptions := make(chan *prometheus.Desc, 100)
	collector.Describe(descriptions)
	close(descriptions)
	kind := "gauge"
	switch collector.(type) {
	case *prometheus.CounterVec:
		kind = "counter"
	case *prometheus.HistogramVec:
		kind = "histogram"
	}
	var rows []metric
	for description := range descriptions {
		row, err := describeMetric(description.String())
		if err != nil {
			return nil, err
		}
		row.kind = kind
		rows = append(rows, row)
	}
	return rows, nil
}

// describeMetric describes a metric from the text of its descriptor.
func describeMetric(text string) (metric, error) {
	parts := descriptor.FindStringSubmatch(text)
	if parts == nil {
		return metric{}, fmt.Errorf("cannot read the descriptor %s", text)
	}
	row := metric{name: parts[1], help: parts[2]}
	if parts[3] == "" {
		return row, nil
	}
	for _, label := range strings.Split(parts[3], ",") {
		row.labels += ", `" + label + "`"
	}
	row.labels = strings.TrimPrefix(row.labels, ", ")
	return row, nil
}

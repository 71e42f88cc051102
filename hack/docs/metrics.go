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

const metricsIntroduction = `# Metrics

The manager serves them at ` + "`/metrics`" + ` of ` + "`--metrics-bind-address`" + ` (` + "`:8443`" + `), over HTTPS and for callers
whom the API server lets read ` + "`/metrics`" + `: bind the ClusterRole ` + "`<release>-metrics-reader`" + ` of the chart
(` + "`coder-session-operator-metrics-reader`" + ` of config/default) to the scraper's service account. The chart has a
ServiceMonitor (` + "`metrics.serviceMonitor.enabled`" + `), config has the component config/prometheus.

No label ever holds a session, a user, a URL or a token: the number of series depends on the number of CoderDeployments
only. The series of a CoderDeployment end when it is deleted. Beside these there are those of controller-runtime
(` + "`controller_runtime_*`, `workqueue_*`, `rest_client_*`" + `), of Go and of the process.

`

const metricsAlerts = `## Labels

| label | value |
|---|---|
| ` + "`namespace`, `deployment`" + ` | the CoderDeployment |
| ` + "`reason`" + ` | reason of a session's Ready condition: see [conditions](conditions.md) |
| ` + "`result`" + ` | reason of the CoderDeployment's Verified condition |
| ` + "`operation`" + ` | what was asked of the Coder server, such as ` + "`mint_token`" + ` |
| ` + "`outcome`" + ` | ` + "`ok`" + `, or the kind of error |
| ` + "`action`" + ` | ` + "`create`, `update` or `delete`" + ` |

## What to alert on

| expression | means | see |
|---|---|---|
| ` + "`coder_session_operator_deployment_ready == 0`" + ` for 15 minutes | a server does not accept the operator, or does not answer: nothing is minted or renewed there | [troubleshooting](../operations/troubleshooting.md), by the reason of Ready |
| ` + "`sum by (namespace, deployment, reason) (coder_session_operator_sessions{reason!~\"Active|Paused|Retired|WorkspaceStopped|AwaitingAuthorization\"}) > 0`" + ` for 15 minutes | sessions without a working credential | [troubleshooting](../operations/troubleshooting.md), by the reason |
| ` + "`coder_session_operator_client_certificate_not_after_seconds - time() < 3 * 86400`" + ` | the client certificate ends within three days | [CertificateExpiring](../operations/troubleshooting.md#certificateexpiring) |
| ` + "`coder_session_operator_operator_token_expires_seconds - time() < 86400`" + ` | the operator's own token ends within a day | [Renewed](../operations/troubleshooting.md#renewed) |
| ` + "`increase(coder_session_operator_revocations_abandoned_total[1h]) > 0`" + ` | tokens that may still be valid on the server | [RevocationAbandoned](../operations/troubleshooting.md#revocationabandoned) |
| ` + "`abs(coder_session_operator_clock_skew_seconds) > 60`" + ` | the clocks of operator and server differ: the end of a token is judged wrongly | NTP of both |
`

// collected takes the metrics that a package registers.
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
		row, err := describeMetric(collector)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	page.WriteString(metricsIntroduction)
	page.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, row := range rows {
		fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", row.name, row.kind, row.labels, row.help)
	}
	page.WriteString("\n")
	page.WriteString(metricsAlerts)
	for _, name := range metricName.FindAllString(metricsAlerts, -1) {
		if !slices.ContainsFunc(rows, func(row metric) bool { return row.name == name }) {
			return fmt.Errorf("an alert is about %s, which is not registered", name)
		}
	}
	return nil
}

// metricName is the name of a metric of the operator in an expression.
var metricName = regexp.MustCompile(`\bcoder_session_operator_\w+`)

// descriptor is what a Desc says of itself; it offers no other way to its parts.
var descriptor = regexp.MustCompile(
	`^Desc\{fqName: "([^"]+)", help: "([^"]*)", (?:unit: "[^"]*", )?constLabels: \{\}, variableLabels: \{([^}]*)\}`)

// describeMetric describes a metric from its descriptor.
func describeMetric(collector prometheus.Collector) (metric, error) {
	descriptions := make(chan *prometheus.Desc, 1)
	collector.Describe(descriptions)
	text := (<-descriptions).String()
	parts := descriptor.FindStringSubmatch(text)
	if parts == nil {
		return metric{}, fmt.Errorf("cannot read the descriptor %s", text)
	}
	row := metric{name: parts[1], help: parts[2]}
	for _, label := range strings.Split(parts[3], ",") {
		row.labels += ", `" + label + "`"
	}
	row.labels = strings.TrimPrefix(row.labels, ", ")
	switch collector.(type) {
	case *prometheus.CounterVec:
		row.kind = "counter"
	case *prometheus.GaugeVec:
		row.kind = "gauge"
	case *prometheus.HistogramVec:
		row.kind = "histogram"
	default:
		return metric{}, fmt.Errorf("%s is of a type that has no name here: %T", row.name, collector)
	}
	return row, nil
}

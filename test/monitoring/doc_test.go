// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests the chart's alerts with promtool, and the queries of alerts and dashboard with
// Prometheus' engine over the metrics that the operator registers. It needs no cluster. It is a module of
// its own.
package monitoring

// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests the chart's alerts with promtool and on the metrics of a running operator, whose faults it
// brings about. It tests the queries of alerts and dashboard with Prometheus' engine over the metrics that the operator
// registers, and draws the dashboard after a simulated day. It is a module of its own.
package monitoring

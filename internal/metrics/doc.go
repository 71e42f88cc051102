// SPDX-License-Identifier: Apache-2.0

// Package metrics holds all metrics of the operator, registered once.
//
// It owns their names, labels and help texts, and that the series of a deployment
// go when it goes ([Metrics.Forget]). It does not know what the numbers mean: the
// caller counts. No session, user, URL or token is ever a label: the number of
// series depends on the number of deployments only, and nothing secret can be one.
package metrics

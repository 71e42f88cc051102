// SPDX-License-Identifier: Apache-2.0

// Package metrics defines and registers all metrics of the operator.
//
// It defines their names, labels and help texts, and deletes the series of a deployment that was
// deleted ([Metrics.Forget]). Sessions, users, URLs and tokens are never labels: the number of
// series depends on the number of deployments only, and no label is confidential.
package metrics

// SPDX-License-Identifier: Apache-2.0

// Package fairqueue divides a controller's workers among the deployments whose sessions they
// reconcile. It decides only who gets a worker, not what the worker does, and makes no request.
package fairqueue

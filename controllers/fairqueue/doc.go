// SPDX-License-Identifier: Apache-2.0

// Package fairqueue divides a controller's workers among the namespaces whose objects it reconciles,
// and within a namespace among the deployments that these belong to ([Queue]). It knows which servers
// do not answer ([Servers]): a pass that waits for one gives its worker to others.
//
// It decides only who gets a worker, not what the worker does, and makes no request. Everything in it
// is a plain data structure with an injected clock; it starts no goroutine.
package fairqueue

// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart with the real Helm, API server and manager:
// what it renders is accepted, gives the rights that the manager needs and no
// others, says what is wrong with values, upgrades what was installed before, and
// is the same as what Kustomize makes of config. Kinds of others (cert-manager,
// Prometheus operator, Gateway API) are judged by their own CRDs.
//
// The tests have the build tag chart, because Helm takes minutes to build: run
// them with `make chart-test`. What the operator then does is tested elsewhere.
package chart

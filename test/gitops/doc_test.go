// SPDX-License-Identifier: Apache-2.0

// Package gitops_test asks tools of GitOps what they make of the operator's objects: kstatus, by which
// Flux and Helm wait, in the library of both; the health checks and actions of integrations/argocd,
// run by the Lua of Argo CD with the libraries that Argo CD opens; and the expressions of
// integrations/flux, evaluated by Flux's own code.
//
// It owns the verdict for each reason that the API has. What the tools do to objects in a cluster is
// tested in test/neighbours.
//
// The module is one of its own so that these libraries stay out of the operator's go.mod:
// `make gitops-test` runs it.
package gitops_test

// SPDX-License-Identifier: Apache-2.0

// Package fakeapi is an API server in memory, for tests of packages that read and write single
// objects: Secrets, ConfigMaps, CoderSessions and CoderDeployments.
//
//	api := fakeapi.New()
//	api.Put(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci"}})
//	api.Before(func(r fakeapi.Request) error { ... }) // fail, or write something in between
//	store := secret.NewStore(api, api, key, "operator")
//
// It behaves as an API server does with versions, UIDs, preconditions, finalizers, immutable
// Secrets and their types, and is stricter on purpose: an update or a deletion without a
// precondition is an error. Lists and patches are missing; a call of one panics.
//
// It also has the two readers that the operator uses: Contents reads whole objects from the API
// server, Metadata reads metadata from a cache that may lag behind. Each of them refuses what the
// other one is for.
//
// Tests of the controllers use a real API server (test/kube).
package fakeapi

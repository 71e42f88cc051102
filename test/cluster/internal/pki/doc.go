// SPDX-License-Identifier: Apache-2.0

// Package pki makes the keys, certificates and kubeconfigs of a test cluster.
//
// It owns one certificate authority, which exists only as long as the program runs,
// and the files that it issues. It knows nothing of what the programs do with them.
package pki

// SPDX-License-Identifier: Apache-2.0

// Package pki makes the files with the keys, certificates and kubeconfigs of a test cluster.
//
// It owns the files and what is in them. The certificate authority itself (test/certs) exists only
// as long as the program runs. It knows nothing of what the programs do with them.
package pki

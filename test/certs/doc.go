// SPDX-License-Identifier: Apache-2.0

// Package certs is the certificate authority of tests, the demo and the end-to-end test. It makes
// authorities, and issues server and client certificates with any name, validity and key, the
// wrong ones included.
//
// It owns no files and no trust store, and is not fit to protect anything: keys are as temporary
// as the test. It imports nothing of the repository, so that every test may use it.
package certs

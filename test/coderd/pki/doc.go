// SPDX-License-Identifier: Apache-2.0

// Package pki is a tiny certificate authority for tests and demonstrations: it makes authorities and issues server and client
// certificates with any name and validity, the wrong ones included. It owns no files and no trust store; keys are P-256 and
// are as temporary as the test. It is not fit to protect anything.
package pki

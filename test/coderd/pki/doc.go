// SPDX-License-Identifier: Apache-2.0

// Package pki is a tiny certificate authority for tests and demonstrations: it makes authorities
// and issues server and client certificates with any name and validity, including invalid ones. It
// owns no files and no trust store. Keys are P-256 and are not kept. It is not for production use.
package pki

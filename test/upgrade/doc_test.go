// SPDX-License-Identifier: Apache-2.0

// Package upgrade holds what docs/operations/upgrade.md promises about an upgrade from a version whose
// fields have other names, against a real API server and the simulated Coder server.
//
// testdata has the CRDs of that version, and objects as its operator left them: written by it, with its
// digests, for tokens with fixed values. Only what differs from run to run is filled in: UIDs, times and
// the address of the server.
package upgrade_test

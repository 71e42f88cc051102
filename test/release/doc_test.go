// SPDX-License-Identifier: Apache-2.0

// Package release holds that all parts of a release say one version, which is the chart's, and that the
// scripts of a release refuse what is none. The programs of a release are looked at by make
// release-verify.
package release

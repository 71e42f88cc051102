// SPDX-License-Identifier: Apache-2.0

// Package validation tries the CRDs on a real API server: which manifests it
// refuses and with which advice, which it accepts, what it fills in, and what
// kubectl shows of the stored objects.
//
// It owns no code of the operator's. What a spec leads to is tested where that is
// decided.
package validation

// SPDX-License-Identifier: Apache-2.0

// Package policies_test tries the admission policies of config/policies on a real API server, as
// users with few rights: what they are refused and with which sentence, and what ordinary editors and
// GitOps controllers are let do.
//
// Each test has a namespace of its own; the policies are installed once. What the CRDs refuse is
// tested in test/validation.
package policies_test

// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the API of the operator: the kinds CoderDeployment (where a Coder server is
// and how to reach it) and CoderSession (which credential a workload gets), the validation that the
// API server applies to them, and the names of conditions, reasons, labels, annotations and
// finalizers.
//
// It only defines types and names. The decisions are made in internal/deployment and
// internal/session.
//
// +kubebuilder:object:generate=true
// +groupName=credentials.coder.com
package v1alpha1

// SPDX-License-Identifier: Apache-2.0

// Package status turns outcomes into what people see: conditions, events and one
// patch of the status subresource.
//
// It owns when a condition's time moves, which transitions are worth an event and of
// which type (B94), and that nothing is sent when nothing changed (B07). It does not
// decide what is true: conditions come from internal/session and
// internal/deployment. All messages pass redact.Text before they leave (B90).
package status

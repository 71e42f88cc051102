// SPDX-License-Identifier: Apache-2.0

// Package status writes conditions, events and the status subresource.
//
// It decides when a condition's transition time changes, which transitions are reported as events
// and of which type (B94), and that nothing is sent if nothing changed (B07). The conditions
// themselves come from internal/session and internal/deployment. All messages are redacted with
// redact.Text (B90). What is too large is left out, so that there is a status whatever a server
// answers; the message of Ready says what the status leaves out.
package status

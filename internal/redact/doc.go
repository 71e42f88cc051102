// SPDX-License-Identifier: Apache-2.0

// Package redact keeps credentials out of everything that people and machines read: logs, events, status, metrics, errors.
//
// It owns three means, from strong to weak:
//
//   - [Secret], a string that no printer, encoder or reflection-based formatter can show;
//   - [Sink] and [Logger], which clean everything that passes through a logr.LogSink;
//   - [Text], which recognises the written forms in which credentials of Coder appear.
//
// It does not decide what is secret: whoever reads a credential wraps it in a Secret at the first moment. Text and
// Sink are the net below that, for text that others have written (a server's message, an error of the standard library).
package redact

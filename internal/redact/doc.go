// SPDX-License-Identifier: Apache-2.0

// Package redact keeps credentials out of logs, events, status, metrics and errors.
//
// It provides three means, from strong to weak:
//
//   - [Secret], a string that no printer, encoder or reflection-based formatter can show;
//   - [Sink] and [Logger], which redact everything that passes through a logr.LogSink;
//   - [Text], which recognises the written forms of Coder's credentials.
//
// It does not decide what is secret: code that reads a credential wraps it in a Secret immediately.
// Text and Sink are the second line of defence, for text from other sources (a server's message, an
// error of the standard library).
package redact

// SPDX-License-Identifier: Apache-2.0

// Package boundedjson decodes JSON of servers that are not trusted, within limits (B130, B143).
//
// A [Decoder] reads a document as a stream. What is nested too deep is left out and strings that are
// too long are cut before anything is decoded, so that memory depends on the limits and not on the
// document. Arrays are decoded one element at a time. [Clean], [Word] and [Line] make strings safe to
// show and to store.
//
// It knows nothing about what the documents mean, and does not recognise credentials: that is up to
// package redact.
package boundedjson

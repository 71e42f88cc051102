// SPDX-License-Identifier: Apache-2.0

// Package coder is the client of the Coder API: the part that the operator needs.
//
// It handles the transport of a deployment (TLS, proxy, headers, deadline, size limits), the API's
// domain types, and the meaning of the server's error responses: callers branch on a [Kind], never
// on an HTTP status code, TLS alert or body.
//
// It does not handle changing settings, retries, rate limits or decisions: a [Client] is built from
// fixed settings and sends each request once. OAuth and streams have packages of their own.
package coder

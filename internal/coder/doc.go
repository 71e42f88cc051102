// SPDX-License-Identifier: Apache-2.0

// Package coder is the client of the Coder API: the part that a credential operator needs.
//
// It owns the transport of a deployment (TLS, proxy, headers, deadline, size limits), the API's domain types, and the meaning
// of the server's refusals: no HTTP status code, TLS alert or body leaves it as something to branch on, only a [Kind].
//
// It does not own settings and their races, retries, rate budgets or decisions: a [Client] is built from settings
// that never change and sends each request once. OAuth and streams have packages of their own.
package coder

// SPDX-License-Identifier: Apache-2.0

// Package certificate is the auth method auth.certificate: the connection's client certificate, or a
// header, identifies the caller. The generated Secret holds no token.
//
// It has no actions of its own and remembers nothing: the deployment owns what identifies the caller.
package certificate

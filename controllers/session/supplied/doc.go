// SPDX-License-Identifier: Apache-2.0

// Package supplied is the auth method auth.token: another party supplies the token in a Secret. It is
// published when the server has accepted it. An empty token stands for the identity that the
// deployment's connection has, as with auth.certificate.
package supplied

// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"net"
	"strconv"
)

// CallbackPath is the path that callbacks are served at, besides the path of the public URL.
const CallbackPath = "/oauth/callback"

// LoopbackRedirectURI is registered besides the public one, for people whose browser reaches the
// operator through a forwarded port on their own machine. Servers from 2.38 on accept any port there
// (RFC 8252, section 7.3; contract C.4).
const LoopbackRedirectURI = "http://localhost:17965" + CallbackPath

// ForwardedRedirectURI is the redirect URI for a port of a person's machine that is forwarded to the
// operator.
func ForwardedRedirectURI(port int) string {
	return "http://" + net.JoinHostPort("localhost", strconv.Itoa(port)) + CallbackPath
}

// RedirectURIs returns the redirect URIs that a session registers. The public one, if there is one,
// comes first, because the server uses the first as the default.
func RedirectURIs(publicURL string) []string {
	if publicURL == "" {
		return []string{LoopbackRedirectURI}
	}
	return []string{publicURL, LoopbackRedirectURI}
}

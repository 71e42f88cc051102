// SPDX-License-Identifier: Apache-2.0

package grant

// CallbackPath is where every server of callbacks takes them, besides the path of its public URL.
const CallbackPath = "/oauth/callback"

// LoopbackRedirectURI is registered besides the public one, for people whose browser reaches the operator over a forwarded
// port of their own machine. The server takes any port there (RFC 8252, section 7.3; contract C.4).
const LoopbackRedirectURI = "http://localhost:17965" + CallbackPath

// RedirectURIs are what a session registers, in this order: the public one, where there is one, is the server's default.
func RedirectURIs(publicURL string) []string {
	if publicURL == "" {
		return []string{LoopbackRedirectURI}
	}
	return []string{publicURL, LoopbackRedirectURI}
}

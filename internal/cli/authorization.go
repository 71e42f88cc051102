// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/grant"
)

// redirectURI is the parameter of an authorization URL that says where the server redirects the
// browser after the consent (RFC 6749, section 4.1.1).
const redirectURI = "redirect_uri"

// errURL says that the authorization URL in a session's status is not an http or https URL. The
// operating system's URL opener also accepts other schemes, such as file:, so those are rejected.
var errURL = errors.New("what the session's status has is no http or https URL")

// authorizationURL parses the URL that a person is asked to open.
func authorizationURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errURL
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, errURL
	}
	return u, nil
}

// withRedirectURI returns the authorization URL with another redirect URI. All other parameters
// stay byte for byte the same, because the operator checks what the server returns of them.
func withRedirectURI(u *url.URL, redirect string) *url.URL {
	pair := redirectURI + "=" + url.QueryEscape(redirect)
	var pairs []string
	replaced := false
	for _, old := range strings.Split(u.RawQuery, "&") {
		name, _, _ := strings.Cut(old, "=")
		switch name, err := url.QueryUnescape(name); {
		case old == "":
		case err != nil || name != redirectURI:
			pairs = append(pairs, old)
		case !replaced: // the server refuses a repeated parameter (RFC 6749, section 3.1)
			pairs, replaced = append(pairs, pair), true
		}
	}
	if !replaced {
		pairs = append(pairs, pair)
	}
	next := *u
	next.RawQuery = strings.Join(pairs, "&")
	return &next
}

// loopbackURI is the redirect URI of the operator's callback, forwarded to a port of this machine.
func loopbackURI(port int) string { return grant.ForwardedRedirectURI(port) }

// loopbackPort is the port of the registered loopback redirect URI. It is forwarded unless it is
// taken.
func loopbackPort() (int, error) {
	u, err := url.Parse(grant.LoopbackRedirectURI)
	if err != nil {
		return 0, fmt.Errorf("read the loopback redirect URI: %w", err)
	}
	return strconv.Atoi(u.Port())
}

// loopbackOrigin returns the scheme and host that an authorization URL redirects to, and true if
// they are this machine's.
func loopbackOrigin(u *url.URL) (string, bool) {
	redirect, err := url.Parse(u.Query().Get(redirectURI))
	if err != nil {
		return "", false
	}
	name := redirect.Hostname()
	address, err := netip.ParseAddr(name)
	if name != "localhost" && !strings.HasSuffix(name, ".localhost") && (err != nil || !address.IsLoopback()) {
		return "", false
	}
	return redirect.Scheme + "://" + redirect.Host, true
}

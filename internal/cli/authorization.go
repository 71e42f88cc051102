// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/grant"
)

// redirectURI is the parameter of an authorization URL that says where the browser goes after the consent (RFC 6749, section
// 4.1.1).
const redirectURI = "redirect_uri"

// errURL is the error of what is no authorization URL. A browser opens more than web pages, so nothing else is given to it.
var errURL = errors.New("what the session's status has is no http or https URL")

// authorizationURL reads the URL that a person is to open.
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

// redirectedTo is an authorization URL with another redirect URI. All else stays as it is, to the byte: what the server hands
// back to the operator is checked there.
func redirectedTo(u *url.URL, redirect string) *url.URL {
	pair := redirectURI + "=" + url.QueryEscape(redirect)
	var pairs []string
	replaced := false
	for _, old := range strings.Split(u.RawQuery, "&") {
		name, _, _ := strings.Cut(old, "=")
		switch name, err := url.QueryUnescape(name); {
		case old == "":
		case err != nil || name != redirectURI:
			pairs = append(pairs, old)
		case !replaced: // a second one would be an error for the server (RFC 6749, section 3.1)
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

// loopbackURI is where a browser reaches the operator's callback over a port of the person's own machine. The server takes any
// port there (RFC 8252, section 7.3; contract C.4), and the operator goes by the Host that the browser came to.
func loopbackURI(port int) string {
	return "http://" + net.JoinHostPort("localhost", strconv.Itoa(port)) + grant.CallbackPath
}

// loopbackPort is the port that is forwarded if it is free: the one that is registered.
func loopbackPort() (int, error) {
	u, err := url.Parse(grant.LoopbackRedirectURI)
	if err != nil {
		return 0, fmt.Errorf("read the loopback redirect URI: %w", err)
	}
	return strconv.Atoi(u.Port())
}

// loopback returns where an authorization URL sends the browser, if that is the person's own machine.
func loopback(u *url.URL) (string, bool) {
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

// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Bounds of a client's redirect URIs in NEW (contract C.3).
const (
	maxRedirectURIs   = 32
	maxRedirectLength = 2048
)

// outOfBand is the only URN that is accepted as a redirect URI (C.4).
const outOfBand = "urn:ietf:wg:oauth:2.0:oob"

// redirectRules are the rules of C.4, which depend on the client and the profile.
type redirectRules struct {
	public bool // no client secret
	isNew  bool
	// anyHTTP accepts plain http for any host, for apps that an administrator makes (chosen).
	anyHTTP bool
}

// checkAll returns what is wrong with a list of redirect URIs, or "".
func (rules redirectRules) checkAll(uris []string) string {
	switch {
	case len(uris) == 0:
		return "redirect_uris: at least one is needed"
	case rules.isNew && len(uris) > maxRedirectURIs:
		return fmt.Sprintf("redirect_uris: more than %d", maxRedirectURIs)
	}
	for i, uri := range uris {
		if problem := rules.checkOne(uri); problem != "" {
			return fmt.Sprintf("redirect_uris[%d]: %s", i, problem)
		}
	}
	return ""
}

func (rules redirectRules) checkOne(uri string) string {
	if uri == outOfBand {
		return ""
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme == "":
		return "not an absolute URI"
	case rules.isNew && len(uri) > maxRedirectLength:
		return fmt.Sprintf("longer than %d bytes", maxRedirectLength)
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return "a fragment is not allowed"
	}
	switch u.Scheme { // url.Parse has made it lower case
	case "javascript", "data", "file", "ftp":
		return "scheme is not allowed"
	case "https", "http":
		return rules.checkHTTP(u)
	default:
		return rules.checkPrivateUse(u)
	}
}

// checkHTTP: without TLS, public clients may use loopback only, confidential ones also names below
// localhost.
func (rules redirectRules) checkHTTP(u *url.URL) string {
	host := u.Hostname()
	if host == "" {
		return "no host"
	}
	if u.Scheme == "https" || rules.anyHTTP || isLoopback(host) ||
		(!rules.public && strings.HasSuffix(host, ".localhost")) {
		return ""
	}
	return "http is for loopback only"
}

// checkPrivateUse is for the schemes of native applications (RFC 8252, section 7.1).
func (rules redirectRules) checkPrivateUse(u *url.URL) string {
	if !rules.isNew {
		if rules.public && !strings.Contains(u.Scheme, ".") {
			return "a public client's own scheme needs a dot"
		}
		return ""
	}
	if rules.public && slices.Contains([]string{"mailto", "tel", "sms"}, u.Scheme) {
		return "scheme is not allowed for public clients"
	}
	if u.Host == "" && u.Path == "" && u.Opaque == "" {
		return "a private-use scheme needs a path or an authority"
	}
	return ""
}

// isLoopback reports whether a host is a loopback address (RFC 8252, section 7.3) or localhost.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// redirectMatches compares exactly, except for the port of a loopback http URI (C.4).
func redirectMatches(registered, given string) bool {
	if registered == given {
		return true
	}
	a, errA := url.Parse(registered)
	b, errB := url.Parse(given)
	if errA != nil || errB != nil || a.Scheme != "http" || !isLoopback(a.Hostname()) {
		return false
	}
	if b.Hostname() != a.Hostname() {
		return false
	}
	b.Host = a.Host // now the ports are the same, too
	return a.String() == b.String()
}

// beginsWith is R30's comparison: host and port are the same, the path goes on from the registered
// one, and the scheme does not matter (C.4).
func beginsWith(registered, given string) bool {
	a, errA := url.Parse(registered)
	b, errB := url.Parse(given)
	return errA == nil && errB == nil && a.Host == b.Host && strings.HasPrefix(b.Path, a.Path)
}

// redirectURI resolves what an authorization request asks for; "" is the primary one. ok is false
// for a URI that does not match. Before NEW only the first registered one matches (C.4).
func (app *oauthApp) redirectURI(o Options, given string) (uri string, ok bool) {
	first := app.redirectURIs[0]
	switch {
	case given == "":
		return first, true
	case !o.sinceMid():
		return given, beginsWith(first, given)
	case !o.isNew():
		return given, given == first
	}
	return given, slices.ContainsFunc(app.redirectURIs, func(registered string) bool {
		return redirectMatches(registered, given)
	})
}

// withParameters sets parameters in a redirect URI's query and keeps the others.
func withParameters(uri string, parameters url.Values) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	query := u.Query()
	for name, values := range parameters {
		query[name] = values
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// The API server has validated most of this. It is checked again because an object may be older
// than its validation. The errors do not quote the URL, which may contain credentials if it is
// invalid.

// parseEndpoint returns the URL of the server.
func parseEndpoint(d *v1alpha1.CoderDeployment) (*url.URL, *ReferenceError) {
	u, ok := parseURL(d.Spec.URL, "http", "https")
	if !ok {
		return nil, invalidField(d, "spec.url", "is no http or https URL of a host: write one such as "+
			"https://coder.example.com, without user information, path, query and fragment")
	}
	return u, nil
}

// parseProxy returns the URL of the proxy, or nil if the spec has none.
func parseProxy(d *v1alpha1.CoderDeployment) (*url.URL, *ReferenceError) {
	if d.Spec.ProxyURL == "" {
		return nil, nil
	}
	u, ok := parseURL(d.Spec.ProxyURL, "http", "https", "socks5")
	if !ok {
		return nil, invalidField(d, "spec.proxyURL", "is no http, https or socks5 URL of a host: write one such as "+
			"http://proxy.example.com:3128, without user information, path, query and fragment")
	}
	return u, nil
}

// parseURL returns scheme, host and port of raw, in lower case. It returns false if raw has other
// parts, or lacks one of these.
func parseURL(raw string, schemes ...string) (*url.URL, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme) {
		return nil, false
	}
	if u.Path != "" && u.Path != "/" {
		return nil, false
	}
	if u.User != nil || u.Opaque != "" || strings.ContainsAny(raw, "?#") {
		return nil, false
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, true
}

// defaultPorts of the schemes, to recognise equal URLs.
var defaultPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080"}

// originOf returns the part of a URL that decides where a connection goes, in a normalised form. It
// is empty for a nil URL.
func originOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), defaultPorts[u.Scheme]))
}

// Origin is scheme, host and port of the server's URL, with the port that is used if the URL has none.
func (s *Snapshot) Origin() string { return originOf(s.URL) }

// Route is a digest of all but the URL that decides which server gets the requests: the proxy, and what is
// accepted as the server's certificate. It is the same in all clusters, as no key is part of it: nothing
// of that is a secret.
func (s *Snapshot) Route() string {
	route := struct {
		Proxy, ServerName string
		SkipVerify        bool
		CABundle          []byte
	}{Proxy: originOf(s.Proxy), CABundle: s.CABundlePEM}
	if s.TLS != nil {
		route.ServerName, route.SkipVerify = strings.ToLower(s.TLS.ServerName), s.TLS.InsecureSkipVerify
	}
	text, _ := json.Marshal(route) // strings and bytes can be encoded
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

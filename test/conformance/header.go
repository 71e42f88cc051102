// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Headers that are compared for every question. The headers of the rate limit are compared where it
// is asked for, because a deployment may switch it off. present is recorded instead of a value.
const present = "<present>"

// Allow and Cache-Control are compared where they are expected.
var (
	comparedHeaders = []string{
		"Content-Type", "Location", "Retry-After", "Www-Authenticate", "X-Coder-Build-Version",
	}
	rateLimitHeaders = []string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"}
	expectedHeaders  = []string{"Allow", "Cache-Control"}
)

// headersOf returns the headers that are compared for a question, reduced.
func headersOf(group string, want map[string]string, header http.Header, base *url.URL) map[string]string {
	names := comparedHeaders
	for _, name := range expectedHeaders {
		if want[name] != "" {
			names = append(slices.Clip(names), name)
		}
	}
	if group == rateLimitGroup {
		names = slices.Concat(names, rateLimitHeaders)
	}
	out := map[string]string{}
	for _, name := range names {
		if value := header.Get(name); value != "" {
			out[name] = reduceHeader(name, value, base)
		}
	}
	return out
}

// rateLimitGroup is the group whose headers of the rate limit are compared.
const rateLimitGroup = "rate-limits"

// authParameter is a parameter of a challenge (RFC 7235).
var authParameter = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

func reduceHeader(name, value string, base *url.URL) string {
	switch name {
	case "Content-Type":
		media, _, _ := strings.Cut(value, ";")
		return media
	case "Www-Authenticate":
		return reduceChallenge(value)
	case "Location":
		return reduceLocation(value, base)
	case "Retry-After", "Cache-Control":
		return value
	}
	return present
}

// reduceChallenge keeps scheme, names of parameters, and the error's code.
func reduceChallenge(value string) string {
	scheme, parameters, _ := strings.Cut(value, " ")
	out := scheme
	for _, parameter := range authParameter.FindAllStringSubmatch(parameters, -1) {
		out += " " + parameter[1]
		if parameter[1] == "error" {
			out += "=" + parameter[2]
		}
	}
	return out
}

// reduceLocation keeps whose origin it is, the path and the names of the query; the value of an
// error, because clients branch on it.
func reduceLocation(value string, base *url.URL) string {
	u, err := url.Parse(value)
	if err != nil {
		return "<no URL>"
	}
	origin := ""
	if u.Host != "" && u.Host != base.Host {
		origin = "<other origin>"
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(u.Query())) {
		if name == "error" {
			name += "=" + u.Query().Get(name)
		}
		names = append(names, name)
	}
	return origin + u.Path + "?" + strings.Join(names, "&")
}

// compareHeaders compares the reduced headers with the recorded ones.
func (c *comparison) compareHeaders(want, got map[string]string) {
	all := map[string]bool{}
	for name := range want {
		all[name] = true
	}
	for name := range got {
		all[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		has, had := got[name], want[name]
		switch {
		case has == had:
		case had == "":
			if c.strict || name == "Www-Authenticate" || name == "Location" {
				c.found = append(c.found, fmt.Sprintf("header %s is %q and was absent", name, has))
			}
		case has == "":
			c.found = append(c.found, fmt.Sprintf("header %s is missing", name))
		default:
			c.found = append(c.found, fmt.Sprintf("header %s is %q instead of %q", name, has, had))
		}
	}
}

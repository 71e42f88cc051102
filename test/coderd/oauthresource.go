// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// validResource is contract C.9 (RFC 8707): an absolute URI without a fragment.
func validResource(resource string) bool {
	u, err := url.Parse(resource)
	return err == nil && u.IsAbs() && u.Host != "" && u.Fragment == "" && !strings.Contains(resource, "#")
}

// badResourceCode is the error code for what is no resource (C.7).
func (c *call) badResourceCode() string {
	if c.opts.isNew() {
		return oauthInvalidTarget
	}
	return oauthInvalidRequest
}

func (c *call) checkResource(resource string) *reply {
	if resource == "" || validResource(resource) {
		return nil
	}
	rp := oauthFailure(http.StatusBadRequest, c.badResourceCode(), "resource: must be an absolute URI without a fragment")
	return &rp
}

// checkAudience refuses an OAuth2 access token that was issued for another resource than this
// server (C.9).
func (c *call) checkAudience(key *apiKey) *reply {
	if c.audienceFits(key) {
		return nil
	}
	rp := errorReply(http.StatusForbidden, "audience validation failed: the token was issued for another resource", "").
		withHeader("WWW-Authenticate", fmt.Sprintf(
			`Bearer realm="coder", error="insufficient_scope", error_description="wrong audience", resource_metadata=%q`,
			c.opts.AccessURL+resourcePath))
	return &rp
}

// audienceFits reports whether a token may be used here. A token without an audience is
// unrestricted. The mutex must be held.
func (s *Server) audienceFits(key *apiKey) bool {
	grant := s.store.oauth.grants[key.id]
	return grant == nil || grant.audience == "" || normalResource(grant.audience) == normalResource(s.opts.AccessURL)
}

// normalResource normalizes the case of scheme and host, the default port, dot segments and a
// trailing slash. Names that are not ASCII are left as they are.
func normalResource(resource string) string {
	u, err := url.Parse(resource)
	if err != nil {
		return resource
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if port := u.Port(); (u.Scheme == "https" && port == "443") || (u.Scheme == "http" && port == "80") {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	u.RawPath = ""
	u.Path = strings.TrimSuffix(path.Clean("/"+u.Path), "/")
	return u.String()
}

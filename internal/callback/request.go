// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"net"
	"net/http"
	"net/url"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// callbackRequest has the parameters of a callback request.
type callbackRequest struct {
	// session is the one that the state parameter names. The operator has made the parameter.
	session types.NamespacedName
	// state is the whole parameter.
	state string
	// code is the authorization code; empty if refused is set.
	code redact.Secret
	// refused is the server's error instead of a code (RFC 6749, section 4.1.2.1).
	refused *oauth.Error
	// redirectURI is the loopback URI that the browser used; empty: the redirect URI of the
	// attempt.
	redirectURI string
	// issuer is who the server says that it is (RFC 9207); empty: it does not say.
	issuer string
	// source is the address that the request came from.
	source string
}

// parseRequest parses the request. A request that can be handled has an empty outcome. What is wrong
// with a state that the operator has not made is the same whether its session exists or not: nothing is
// looked up for it (B141).
func (h *Handler) parseRequest(r *http.Request) (callbackRequest, outcome) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return callbackRequest{}, incomplete
	}
	state, ok := singleParameter(query, "state")
	if !ok {
		return callbackRequest{}, incomplete
	}
	session, ok := grant.SessionOf(h.key, state)
	if !ok {
		return callbackRequest{}, unknown
	}
	a := callbackRequest{session: session, state: state, redirectURI: loopbackURI(r), source: sourceOf(r)}
	if query.Has("iss") {
		if a.issuer, ok = singleParameter(query, "iss"); !ok {
			return a, incomplete
		}
	}
	if refusal, ok := singleParameter(query, "error"); ok {
		a.refused = oauth.Refused(refusal, query.Get("error_description"))
		return a, ""
	}
	code, ok := singleParameter(query, "code")
	if !ok {
		return a, incomplete
	}
	a.code = redact.New(code)
	return a, ""
}

// singleParameter returns a parameter that occurs once and is not empty. A repeated parameter is
// invalid (RFC 6749, section 3.1).
func singleParameter(query url.Values, name string) (string, bool) {
	values := query[name]
	return query.Get(name), len(values) == 1 && values[0] != ""
}

// loopbackURI is the redirect URI of a browser that came through a port-forward; empty: it did not.
// The exchange has to repeat the redirect URI of the authorization request, including the port,
// which the attempt does not know.
func loopbackURI(r *http.Request) string {
	name, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		name, port = r.Host, "80"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return ""
	}
	switch name {
	case "localhost", "127.0.0.1", "::1", "[::1]":
		return "http://" + r.Host + r.URL.Path
	}
	return ""
}

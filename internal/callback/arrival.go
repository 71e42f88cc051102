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

// callbackRequest is what a browser came with.
type callbackRequest struct {
	// session that the state parameter names. Nobody has proved anything by that yet.
	session types.NamespacedName
	// state is the whole parameter.
	state string
	// code to redeem. Absent where refused is set.
	code redact.Secret
	// refused is what the server said instead (RFC 6749, section 4.1.2.1).
	refused *oauth.Error
	// redirectURI that the browser came to, where that is a port of the person's own machine; empty: the attempt's.
	redirectURI string
}

// arrivalOf reads the request. The outcome is empty where it is one that can be looked into.
func arrivalOf(r *http.Request) (callbackRequest, outcome) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return callbackRequest{}, incomplete
	}
	state, ok := one(query, "state")
	if !ok {
		return callbackRequest{}, incomplete
	}
	session, ok := grant.SessionOf(state)
	if !ok {
		return callbackRequest{}, unknown
	}
	a := callbackRequest{session: session, state: state, redirectURI: loopbackURI(r)}
	if refusal, ok := one(query, "error"); ok {
		a.refused = oauth.Refused(refusal, query.Get("error_description"))
		return a, ""
	}
	code, ok := one(query, "code")
	if !ok {
		return a, incomplete
	}
	a.code = redact.New(code)
	return a, ""
}

// one returns a parameter that is there once and says something. More than one are ambiguous (RFC 6749, section 3.1).
func one(query url.Values, name string) (string, bool) {
	values := query[name]
	return query.Get(name), len(values) == 1 && values[0] != ""
}

// loopbackURI is where the browser came to, if it came over a port that is forwarded to this process. An exchange has to repeat
// it as it was in the request for consent, port and all; no attempt knows that port beforehand.
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

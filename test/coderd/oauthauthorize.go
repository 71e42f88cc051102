// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// authorization is a request to the authorization endpoint that may be granted (contract C.6).
type authorization struct {
	app         *oauthApp
	redirectURI string
	// redirectGiven: the request has named the redirect URI.
	redirectGiven bool
	state         string
	challenge     string
	resource      string
	scopes        []string
}

// refusedAuthorization is a problem and the place where it is shown: inline, by the server, or at
// the client's callback.
type refusedAuthorization struct {
	oauthProblem
	inline bool
}

// authorizeParameters are the query's parameters. R30 refuses others, NEW ignores them.
var authorizeParameters = []string{
	"client_id", "response_type", "redirect_uri", "state", "scope", "code_challenge", "code_challenge_method", "resource",
}

// challengePattern is RFC 7636, sections 4.1 and 4.2; verifiers have the same form.
var challengePattern = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// readAuthorization checks the query for the caller's user. The app and the redirect URI are
// checked first, because without them there is no callback to send an error to.
func (c *call) readAuthorization(query url.Values) (authorization, *refusedAuthorization) {
	a, problem := c.readCallback(query)
	if problem != nil {
		return a, &refusedAuthorization{oauthProblem: *problem, inline: true}
	}
	if len(query["state"]) == 1 {
		a.state = query.Get("state")
	}
	a.challenge, a.resource = query.Get("code_challenge"), query.Get("resource")
	problem = c.checkAuthorization(query)
	if problem == nil {
		a.scopes, problem = c.negotiateScopes(a.app, query.Get("scope"))
	}
	if problem != nil { // R30 shows all errors itself
		return a, &refusedAuthorization{oauthProblem: *problem, inline: !c.opts.isNew()}
	}
	return a, nil
}

// readCallback finds the app and the redirect URI.
func (c *call) readCallback(query url.Values) (authorization, *oauthProblem) {
	var a authorization
	problem := oauthProblem{status: http.StatusBadRequest, code: oauthInvalidRequest}
	switch {
	case len(query["client_id"]) > 1:
		problem.description = "client_id: given more than once"
		return a, &problem
	case query.Get("client_id") == "":
		problem.description = "client_id: missing"
		return a, &problem
	case len(query["redirect_uri"]) > 1:
		problem.description = "redirect_uri: given more than once"
		return a, &problem
	}
	if a.app = c.store.oauth.findApp(query.Get("client_id")); a.app == nil {
		return a, &oauthProblem{status: http.StatusUnauthorized, code: oauthInvalidClient, description: "unknown client"}
	}
	a.redirectGiven = query.Get("redirect_uri") != ""
	uri, ok := a.app.redirectURI(c.opts, query.Get("redirect_uri"))
	if !ok {
		problem.description = "redirect_uri: must exactly match the one that the client has registered"
		return a, &problem
	}
	if (redirectRules{isNew: c.opts.isNew(), anyHTTP: true}).checkOne(uri) != "" {
		return a, &oauthProblem{
			status: http.StatusInternalServerError, code: oauthServerError, description: "the client's redirect URI is unusable",
		}
	}
	a.redirectURI = uri
	return a, nil
}

// fieldProblem is one failing parameter, and the error code that it has when no other fails.
type fieldProblem struct{ field, reason, code string }

// checkAuthorization reports all failing parameters at once.
func (c *call) checkAuthorization(query url.Values) *oauthProblem {
	bad := c.checkNames(query)
	fail := func(field, reason, code string) { bad = append(bad, fieldProblem{field, reason, code}) }
	switch query.Get("response_type") {
	case responseCode:
	case "token": // R30 takes it, and sends a code
		if c.opts.sinceMid() {
			fail("response_type", "only code is supported", oauthUnsupportedType)
		}
	case "":
		fail("response_type", "missing", oauthInvalidRequest)
	default:
		fail("response_type", "only code is supported", oauthUnsupportedType)
	}
	if reason := c.checkChallenge(query.Get("code_challenge")); reason != "" {
		fail("code_challenge", reason, oauthInvalidRequest)
	}
	if method := query.Get("code_challenge_method"); method != "" && method != challengeS256 {
		fail("code_challenge_method", "only S256 is supported", oauthInvalidRequest)
	}
	if resource := query.Get("resource"); resource != "" && !validResource(resource) {
		fail("resource", "must be an absolute URI without a fragment", c.badResourceCode())
	}
	return joinProblems(bad)
}

// checkNames refuses repeated parameters and, in R30, unknown ones.
func (c *call) checkNames(query url.Values) []fieldProblem {
	var bad []fieldProblem
	for _, name := range slices.Sorted(maps.Keys(query)) {
		switch known := slices.Contains(authorizeParameters, name); {
		case known && len(query[name]) > 1:
			bad = append(bad, fieldProblem{name, "given more than once", oauthInvalidRequest})
		case !known && !c.opts.isNew():
			bad = append(bad, fieldProblem{name, "unknown parameter", oauthInvalidRequest})
		}
	}
	return bad
}

// checkChallenge returns what is wrong with a PKCE challenge, or "". Since MID
// PKCE is required of every client; only NEW looks at the form of the challenge.
func (c *call) checkChallenge(challenge string) string {
	switch {
	case challenge == "" && c.opts.sinceMid():
		return "missing"
	case !c.opts.isNew() || challengePattern.MatchString(challenge):
		return ""
	default:
		return "must be 43 to 128 unreserved characters"
	}
}

func joinProblems(bad []fieldProblem) *oauthProblem {
	if len(bad) == 0 {
		return nil
	}
	code := bad[0].code
	texts := make([]string, 0, len(bad))
	for _, problem := range bad {
		if problem.code != code {
			code = oauthInvalidRequest
		}
		texts = append(texts, fmt.Sprintf("%s: %s", problem.field, problem.reason))
	}
	return &oauthProblem{status: http.StatusBadRequest, code: code, description: strings.Join(texts, "; ")}
}

// redirectToClient sends the browser back to the client's callback.
func (c *call) redirectToClient(a authorization, parameters url.Values) reply {
	if a.state != "" {
		parameters.Set("state", a.state)
	}
	target, err := withParameters(a.redirectURI, parameters)
	if err != nil {
		return c.oauthInternal(err)
	}
	return reply{status: http.StatusFound}.withHeader("Location", target)
}

// refuseAuthorization shows a problem where it belongs: at the callback, on a page (GET), or as
// JSON (POST).
func (c *call) refuseAuthorization(a authorization, refused refusedAuthorization) reply {
	if !refused.inline {
		return c.redirectToClient(a, url.Values{
			"error": {refused.code}, "error_description": {quotableText(refused.description)},
		})
	}
	if c.request.Method == http.MethodPost {
		if refused.code == oauthInvalidClient {
			return *c.invalidClient(refused.description)
		}
		return refused.toReply()
	}
	return pageReply(refused.status, failurePage, failurePageData{
		Title: "Authorization failed", Code: refused.code, Description: refused.description,
	})
}

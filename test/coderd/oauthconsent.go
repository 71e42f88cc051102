// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
)

// Fields of the consent form. A client that posts with a session header needs neither (contract
// C.6, H).
const (
	formTokenField = "csrf_token"
	decisionField  = "decision"
	decisionCancel = "cancel"
)

// browserSession authenticates the user of a browser. Without a valid session the browser is
// redirected to the sign-in page, which sends it back afterwards (C.6).
func (c *call) browserSession() *reply {
	if refused := c.authenticateCaller(); refused != nil {
		query := url.Values{"message": {"Sign in to go on."}, "redirect": {c.request.URL.RequestURI()}}
		rp := reply{status: http.StatusSeeOther}.withHeader("Location", loginPath+"?"+query.Encode())
		if c.request.Method == http.MethodGet { // as http.Redirect does
			rp.html = htmlPage("See Other")
		}
		return &rp
	}
	if !c.mayGrant() { // a restricted token, such as a scoped one
		rp := oauthFailure(http.StatusInternalServerError, oauthServerError, "internal error")
		return &rp
	}
	return nil
}

// showConsent is GET /oauth2/authorize.
func (c *call) showConsent() reply {
	if refused := c.browserSession(); refused != nil {
		return *refused
	}
	a, refused := c.readAuthorization(c.request.URL.Query())
	if refused != nil {
		return c.refuseAuthorization(a, *refused)
	}
	return pageReply(http.StatusOK, consentPage, consentPageData{
		Title: "Authorize " + a.app.name, Client: a.app.name, Username: c.key.user.username, Scopes: a.scopes,
		Destination: redirectDestination(a.redirectURI), Action: c.request.URL.RequestURI(), FormToken: c.formToken(),
		SwitchUser: loginPath + "?" + url.Values{"redirect": {c.request.URL.RequestURI()}}.Encode(),
	})
}

// decideConsent is POST /oauth2/authorize: the same query, and in the body what the person chose on
// the page.
func (c *call) decideConsent() reply {
	if refused := c.browserSession(); refused != nil {
		return *refused
	}
	form, refused := c.readForm()
	if refused != nil {
		return *refused
	}
	if c.opts.sinceMid() && c.hasSessionCookie() && !hmac.Equal([]byte(form.Get(formTokenField)), []byte(c.formToken())) {
		return csrfFailure()
	}
	a, problem := c.readAuthorization(c.request.URL.Query())
	switch {
	case problem != nil:
		return c.refuseAuthorization(a, *problem)
	case form.Get(decisionField) == decisionCancel:
		if !c.opts.sinceMid() {
			a.state = "" // R30's cancel link has none (C.6)
		}
		return c.redirectToClient(a, url.Values{
			"error": {oauthAccessDenied}, "error_description": {"the user has refused the authorization"},
		})
	default:
		return c.issueCode(a)
	}
}

// formToken binds the form to the session: other sites cannot read the token, and cannot compute it
// without the key's hash.
func (c *call) formToken() string {
	mac := hmac.New(sha256.New, c.key.hash[:])
	mac.Write([]byte("consent form"))
	return hex.EncodeToString(mac.Sum(nil))
}

// redirectDestination returns the part of a redirect URI that tells a person where it leads: the
// host, or an application's own scheme.
func redirectDestination(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return ""
	}
	if u.Scheme == "https" || u.Scheme == "http" {
		return u.Host
	}
	if u.Host == "" {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

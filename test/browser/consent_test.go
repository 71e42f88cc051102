// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// metadataPath is what the operator has to read for every URL that it makes (RFC 8414).
const metadataPath = "/.well-known/oauth-authorization-server"

// Headings of the pages on the way.
const (
	signIn  = "Sign in"
	granted = "Access granted"
	denied  = "Access was not granted"
	used    = "This link was already used"
	expired = "This link has expired"
	unknown = "This link is not known"
)

// signsIn opens a URL as a person who is not signed in yet, and comes to the consent page.
func (w *browserEnv) signsIn(b *browser, address string) *page {
	w.T.Helper()
	b.openAddress(address).requirePage(http.StatusOK, signIn)
	return w.requireConsentPage(b.pressButton("signin-" + person))
}

// requireConsentPage fails the test unless a page is the consent page, for this session and person.
func (w *browserEnv) requireConsentPage(p *page) *page {
	w.T.Helper()
	heading := strings.Join(p.facts.Headings, " ")
	if p.status != http.StatusOK || !strings.HasPrefix(heading, "Authorize ") {
		w.T.Fatalf("page %q with status %d, want the consent page; it says:\n%s", heading, p.status, p.facts.Text)
	}
	return p.requireText(person, "coder:workspaces.access", strings.TrimPrefix(originOf(w.site.callbackURL), "http://"))
}

// B62, B63: a person signs in and agrees. A second use of the same callback is told so, and takes
// nothing away.
func TestAPersonConsents(t *testing.T) {
	w := newEnv(t)
	l := w.startLogin()
	b := w.startBrowser()

	w.signsIn(b, l.nextURL().String())
	b.pressButton("approve").requirePage(http.StatusOK, granted).requireText(sessionName, w.Namespace,
		"You can close this page.").keepsQuiet()
	l.requireExit(0)
	l.requireOutput("Session " + w.Namespace + "/" + sessionName + " is ready.")
	l.requireOutput(person)
	w.requireReady()

	before := w.CurrentSecret(sessionName).ResourceVersion
	b.reloadPage().requirePage(http.StatusGone, used).requireText("Nothing has changed.",
		"kubectl get codersession -n "+w.Namespace+" "+sessionName).keepsQuiet()
	w.requireReady()
	if after := w.CurrentSecret(sessionName).ResourceVersion; after != before {
		t.Errorf("the session's Secret was written again: %s after %s", after, before)
	}
}

// A person declines, and thinks better of it: the program has another URL by then.
func TestAPersonDeclinesAndThenConsents(t *testing.T) {
	w := newEnv(t)
	l := w.startLogin()
	b := w.startBrowser()

	first := l.nextURL().String()
	w.signsIn(b, first)
	b.pressButton("cancel").requirePage(http.StatusOK,
		denied).requireText("kubectl coder login -n " + w.Namespace + " " + sessionName).keepsQuiet()
	second := l.nextURL().String()
	if second == first {
		t.Error("the URL that is used up is printed again")
	}
	l.requireOutput("The URL above is used up.")
	w.requireConsentPage(b.openAddress(second))
	b.pressButton("approve").requirePage(http.StatusOK, granted)
	l.requireExit(0)
	w.requireReady()
}

// B62, B63: a person agrees when the ten minutes are over, at a time when the operator cannot make
// another URL: the page says what to do, and the program prints the new URL as soon as there is
// one.
func TestALinkExpires(t *testing.T) {
	w := newEnv(t)
	l := w.startLogin()
	b := w.startBrowser()

	w.signsIn(b, l.nextURL().String())
	stopFault := w.Coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: http.StatusServiceUnavailable,
		Method: http.MethodGet, Path: metadataPath})
	w.endAttempt()
	b.pressButton("approve").requirePage(http.StatusGone, expired).
		requireText("Links are good for ten minutes.", "Nothing has changed.",
			"kubectl coder login -n "+w.Namespace+" "+sessionName).keepsQuiet()
	if w.checkReady() == nil {
		t.Error("the session is ready")
	}
	stopFault()
	w.requireConsentPage(b.openAddress(l.nextURL().String()))
	b.pressButton("approve").requirePage(http.StatusOK, granted)
	l.requireExit(0)
	w.requireReady()
}

// B63: a person agrees when the ten minutes are over, and another URL has taken the old one's
// place.
func TestALinkIsReplaced(t *testing.T) {
	w := newEnv(t)
	l := w.startLogin()
	b := w.startBrowser()

	w.signsIn(b, l.nextURL().String())
	w.endAttempt()
	second := l.nextURL().String()
	b.pressButton("approve").requirePage(http.StatusGone, expired).
		requireText("Links are good for ten minutes.", "Nothing has changed.",
			"kubectl coder login -n "+w.Namespace+" "+sessionName).keepsQuiet()
	w.requireConsentPage(b.openAddress(second))
	b.pressButton("approve").requirePage(http.StatusOK, granted)
	l.requireExit(0)
	w.requireReady()
}

// B62: a made-up state, of this session or of none, gets nothing and changes nothing. The person's
// own link is as good as before.
func TestAForgedStateChangesNothing(t *testing.T) {
	w := newEnv(t)
	l := w.startLogin()
	b := w.startBrowser()

	address := l.nextURL()
	state := address.Query().Get("state")
	document := w.CurrentSecret(sessionName + "-oauth").ResourceVersion
	ours, _, _ := strings.Cut(state, ".")
	for _, forged := range []string{ours + ".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "made-up"} {
		back := w.site.callbackURL + "?" + url.Values{"code": {"made-up-code"}, "state": {forged}}.Encode()
		b.openAddress(back).requirePage(http.StatusNotFound, unknown).requireText("Nothing has changed.",
			"kubectl coder login").keepsQuiet()
	}
	if got := w.CurrentSecret(sessionName + "-oauth").ResourceVersion; got != document {
		t.Errorf("the session's document was written: %s after %s", got, document)
	}
	if shown := w.CurrentSession(sessionName).Status.Authorization; shown == nil || shown.URL != address.String() {
		t.Errorf("the session shows another URL: %+v", shown)
	}
	w.signsIn(b, address.String())
	b.pressButton("approve").requirePage(http.StatusOK, granted)
	l.requireExit(0)
	w.requireReady()
}

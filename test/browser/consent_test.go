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

// signsIn opens a URL as somebody whom the server does not know yet, and comes to the consent page.
func (w *world) signsIn(b *browser, address string) *page {
	w.t.Helper()
	b.open(address).is(http.StatusOK, signIn)
	return w.asks(b.press("signin-" + person))
}

// asks fails the test unless a page is the consent page, for this session and person.
func (w *world) asks(p *page) *page {
	w.t.Helper()
	heading := strings.Join(p.facts.Headings, " ")
	if p.status != http.StatusOK || !strings.HasPrefix(heading, "Authorize ") {
		w.t.Fatalf("page %q with status %d, want the consent page; it says:\n%s", heading, p.status, p.facts.Text)
	}
	return p.says(person, "coder:workspaces.access", strings.TrimPrefix(originOf(w.site.callbackURL), "http://"))
}

// B62, B63: a person signs in and agrees. Whoever takes the same way back once more is told that it was used, and takes
// nothing away.
func TestAPersonConsents(t *testing.T) {
	w := newWorld(t)
	l := w.login()
	b := w.browser()

	w.signsIn(b, l.next().String())
	b.press("approve").is(http.StatusOK, granted).says(sessionName, w.namespace, "You can close this page.").keepsQuiet()
	l.exits(0)
	l.says("Session " + w.namespace + "/" + sessionName + " is ready.")
	l.says(person)
	w.isReady()

	before := w.secret(sessionName).ResourceVersion
	b.reload().is(http.StatusGone, used).says("Nothing has changed.", "kubectl get codersession -n "+w.namespace+" "+sessionName).keepsQuiet()
	w.isReady()
	if after := w.secret(sessionName).ResourceVersion; after != before {
		t.Errorf("the session's Secret was written again: %s after %s", after, before)
	}
}

// A person declines, and thinks better of it: the program has another URL by then.
func TestAPersonDeclinesAndThenConsents(t *testing.T) {
	w := newWorld(t)
	l := w.login()
	b := w.browser()

	first := l.next().String()
	w.signsIn(b, first)
	b.press("cancel").is(http.StatusOK, denied).says("kubectl coder login -n " + w.namespace + " " + sessionName).keepsQuiet()
	second := l.next().String()
	if second == first {
		t.Error("the URL that is used up is printed again")
	}
	l.says("The URL above is used up.")
	w.asks(b.open(second))
	b.press("approve").is(http.StatusOK, granted)
	l.exits(0)
	w.isReady()
}

// B62, B63: a person agrees when the ten minutes are over, at a time when the operator cannot make another URL: the page
// says what to do, and the program prints the new URL as soon as there is one.
func TestALinkExpires(t *testing.T) {
	w := newWorld(t)
	l := w.login()
	b := w.browser()

	w.signsIn(b, l.next().String())
	mended := w.coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: http.StatusServiceUnavailable, Method: http.MethodGet, Path: metadataPath})
	w.endAttempt()
	b.press("approve").is(http.StatusGone, expired).
		says("Links are good for ten minutes.", "Nothing has changed.", "kubectl coder login -n "+w.namespace+" "+sessionName).keepsQuiet()
	if w.ready() == nil {
		t.Error("the session is ready")
	}
	mended()
	w.asks(b.open(l.next().String()))
	b.press("approve").is(http.StatusOK, granted)
	l.exits(0)
	w.isReady()
}

// B63: a person agrees when the ten minutes are over, and another URL has taken the old one's place.
func TestALinkIsReplaced(t *testing.T) {
	w := newWorld(t)
	l := w.login()
	b := w.browser()

	w.signsIn(b, l.next().String())
	w.endAttempt()
	second := l.next().String()
	b.press("approve").is(http.StatusGone, expired).
		says("Links are good for ten minutes.", "Nothing has changed.", "kubectl coder login -n "+w.namespace+" "+sessionName).keepsQuiet()
	w.asks(b.open(second))
	b.press("approve").is(http.StatusOK, granted)
	l.exits(0)
	w.isReady()
}

// B62: somebody who makes up a state, of this session or of none, gets nothing and changes nothing. The person's own link
// is as good as before.
func TestAForgedStateChangesNothing(t *testing.T) {
	w := newWorld(t)
	l := w.login()
	b := w.browser()

	address := l.next()
	state := address.Query().Get("state")
	document := w.secret(sessionName + "-oauth").ResourceVersion
	ours, _, _ := strings.Cut(state, ".")
	for _, forged := range []string{ours + ".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "made-up"} {
		back := w.site.callbackURL + "?" + url.Values{"code": {"made-up-code"}, "state": {forged}}.Encode()
		b.open(back).is(http.StatusNotFound, unknown).says("Nothing has changed.", "kubectl coder login").keepsQuiet()
	}
	if got := w.secret(sessionName + "-oauth").ResourceVersion; got != document {
		t.Errorf("the session's document was written: %s after %s", got, document)
	}
	if shown := w.session().Status.Authorization; shown == nil || shown.URL != address.String() {
		t.Errorf("the session shows another URL: %+v", shown)
	}
	w.signsIn(b, address.String())
	b.press("approve").is(http.StatusOK, granted)
	l.exits(0)
	w.isReady()
}

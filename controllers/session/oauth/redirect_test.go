// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
)

// newAsking has the session ci, which waits for a consent, on a server of the given generation.
func newAsking(t *testing.T, profile coderd.Profile, scopes ...v1alpha1.Scope) *stepped.World {
	t.Helper()
	w := stepped.New(t)
	w.Coder.Reconfigure(func(o *coderd.Options) { o.Profile = profile })
	w.Coder.SetOAuth2Provider(true)
	w.Coder.SetDynamicRegistration(true)
	w.Clock.Step(10 * time.Minute) // the next verification
	w.PassDeployment()
	w.Put(w.NewSession("ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{Scopes: scopes}}))
	w.Settle("ci")
	return w
}

// setLoginPort does what kubectl coder login --port-forward does; zero: it ends.
func setLoginPort(w *stepped.World, port int) {
	w.T.Helper()
	s := w.Session("ci")
	delete(s.Annotations, v1alpha1.AnnotationLoginPort)
	if port > 0 {
		s.Annotations = map[string]string{v1alpha1.AnnotationLoginPort: strconv.Itoa(port)}
	}
	w.Must(w.API.Update(w.T.Context(), s))
	w.Settle("ci")
}

// redirectOf is where the session's URL has the server redirect to.
func redirectOf(w *stepped.World) string {
	w.T.Helper()
	status := w.Session("ci").Status
	if status.Authorization == nil {
		w.T.Fatalf("no URL: %+v", status)
	}
	u, err := url.Parse(status.Authorization.URL)
	w.Must(err)
	return u.Query().Get("redirect_uri")
}

// consent has ada agree at a URL, and the browser return to the operator.
func consent(w *stepped.World, authorizationURL string) {
	w.T.Helper()
	location, err := w.Coder.ApproveOAuth("ada", authorizationURL)
	w.Must(err)
	page := httptest.NewRecorder()
	callback.New(callback.Options{
		Objects: w.API, Grants: grant.NewStore(w.API, w.API), Clock: w.Clock, Pool: w.Controllers.Pool,
		Key: w.FingerprintKey,
	}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, location, nil))
	if page.Code != http.StatusOK {
		w.T.Fatalf("the callback says %d: %s", page.Code, page.Body)
	}
	w.Settle("ci")
}

// isReady reports whether the session has its credential.
func isReady(w *stepped.World) bool {
	return meta.IsStatusConditionTrue(w.Session("ci").Status.Conditions, v1alpha1.ConditionReady)
}

// B124: before 2.38 the client is registered with the one redirect URI that the login uses, and again
// for a login by port-forward. Later servers take any registered one.
func TestTheRedirectURIOfALogin(t *testing.T) {
	t.Parallel()
	const port = 40001 // the usual one is taken
	forwarded := grant.ForwardedRedirectURI(port)
	for _, profile := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileMid, coderd.ProfileNew} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			legacy := profile != coderd.ProfileNew
			w := newAsking(t, profile)
			registered := func() []string {
				apps := w.Coder.OAuthApps()
				if len(apps) != 1 {
					t.Fatalf("the server has the clients %+v", apps)
				}
				return apps[0].RedirectURIs
			}
			both := grant.RedirectURIs(stepped.Callback)
			want := func(uri string) {
				t.Helper()
				all := both
				if legacy {
					all = []string{uri}
				}
				if got := redirectOf(w); got != uri || !slices.Equal(registered(), all) {
					t.Fatalf("the URL redirects to %s, want %s; registered are %v, want %v", got, uri, registered(), all)
				}
			}
			want(stepped.Callback)
			setLoginPort(w, port)
			want(forwarded)
			setLoginPort(w, 0)
			want(stepped.Callback)
			setLoginPort(w, port)
			consent(w, w.Session("ci").Status.Authorization.URL)
			if !isReady(w) {
				t.Fatalf("after the login: %+v", w.Session("ci").Status)
			}
			held := w.Coder.OAuthGrants("ada", "")
			setLoginPort(w, 0)
			w.Restart()
			w.Settle("ci")
			if after := w.Coder.OAuthGrants("ada", ""); len(after) != 1 || after[0].Key.ID != held[0].Key.ID || !isReady(w) {
				t.Errorf("the grant does not outlive the login: %+v, %+v", after, w.Session("ci").Status)
			}
			w.Must(w.Coder.RevokeOAuthGrant("ada", w.Coder.OAuthApps()[0].ClientID))
			w.Clock.Step(10 * time.Minute)
			w.Settle("ci")
			want(stepped.Callback)
			consent(w, w.Session("ci").Status.Authorization.URL)
			if !isReady(w) {
				t.Errorf("after the second login: %+v", w.Session("ci").Status)
			}
		})
	}
}

// A login that ends while the code is being exchanged does not end the client whose code that is.
func TestALoginThatEndsDuringTheExchange(t *testing.T) {
	t.Parallel()
	w := newAsking(t, coderd.ProfileMid)
	setLoginPort(w, 40001)
	authorizationURL := w.Session("ci").Status.Authorization.URL
	gate := coderd.NewGate()
	w.Coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/oauth2/tokens"})
	location, err := w.Coder.ApproveOAuth("ada", authorizationURL)
	w.Must(err)
	done := make(chan int)
	go func() {
		page := httptest.NewRecorder()
		callback.New(callback.Options{
			Objects: w.API, Grants: grant.NewStore(w.API, w.API), Clock: w.Clock, Pool: w.Controllers.Pool,
			Key: w.FingerprintKey,
		}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, location, nil))
		done <- page.Code
	}()
	<-gate.Entered()
	s := w.Session("ci")
	delete(s.Annotations, v1alpha1.AnnotationLoginPort)
	w.Must(w.API.Update(t.Context(), s))
	w.Pass("ci")
	gate.Release()
	if code := <-done; code != http.StatusOK {
		t.Errorf("the callback says %d", code)
	}
	w.Settle("ci")
	if !isReady(w) {
		t.Errorf("status: %+v", w.Session("ci").Status)
	}
}

// An annotation that is no port changes nothing.
func TestALoginPortThatIsNone(t *testing.T) {
	t.Parallel()
	w := newAsking(t, coderd.ProfileMid)
	for _, value := range []string{"", "0", "-1", "65536", "80/../", "evil.example", "https://evil.example"} {
		s := w.Session("ci")
		s.Annotations = map[string]string{v1alpha1.AnnotationLoginPort: value}
		w.Must(w.API.Update(t.Context(), s))
		w.Settle("ci")
		if got := redirectOf(w); got != stepped.Callback {
			t.Errorf("%q leads to %s", value, got)
		}
	}
}

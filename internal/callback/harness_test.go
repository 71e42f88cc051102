// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const (
	person    = "ada"
	publicURL = "https://operator.example.test/sessions/callback"
)

var (
	now           = time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC)
	sessionKey    = types.NamespacedName{Namespace: "builds", Name: "ci"}
	documentKey   = types.NamespacedName{Namespace: "builds", Name: "ci-oauth"}
	deploymentKey = types.NamespacedName{Namespace: "coder", Name: "prod"}
)

// lines collects the log messages.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) writeLine(prefix, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(prefix + args + "\n")
}

// callbackEnv is a cluster, a simulated server with its OAuth provider enabled, and a session that waits
// for consent.
type callbackEnv struct {
	*testing.T
	api      *api
	clock    *testclock.FakeClock
	server   *coderd.Server
	grants   *grant.Store
	replica  *Handler
	session  *v1alpha1.CoderSession
	operator oauth.Provider // creates registrations and links, as the session's controller does
	metadata oauth.Metadata

	mu     sync.Mutex
	hidden []string // values that no page, header or log line may contain
	logged lines
}

func eachProfile(t *testing.T, test func(w *callbackEnv)) {
	t.Helper()
	for _, profile := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileNew} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			test(newCallbackEnv(t, profile))
		})
	}
}

func newCallbackEnv(t *testing.T, profile coderd.Profile) *callbackEnv {
	t.Helper()
	w := &callbackEnv{T: t, api: newAPI(), clock: testclock.NewFakeClock(now)}
	w.server = coderd.New(coderd.Options{Profile: profile, Clock: w.clock, DisableRateLimits: true})
	w.server.SetOAuth2Provider(true)
	w.server.SetDynamicRegistration(true)
	w.requireNoError(w.server.CreateUser(coderd.UserOptions{Username: person}))
	w.requireNoError(w.server.CreateUser(coderd.UserOptions{Username: "operator", Roles: []string{coderd.RoleOwner}}))
	token, _, err := w.server.CreateToken(coderd.TokenOptions{User: "operator"})
	w.requireNoError(nil, err)
	w.hideValues(token)
	listener, err := w.server.Start(coderd.ListenOptions{})
	w.requireNoError(nil, err)
	t.Cleanup(func() { _ = listener.Close() })

	w.api.putSecret(types.NamespacedName{Namespace: "coder", Name: "operator-token"},
		&corev1.Secret{Data: map[string][]byte{"token": []byte(token)}})
	w.api.Put(&v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod", UID: "uid-prod", Generation: 1},
		Spec: v1alpha1.CoderDeploymentSpec{
			URL: listener.URL(), Token: &v1alpha1.OperatorToken{
				SecretRef: v1alpha1.TokenSecretRef{Name: "operator-token", Key: "token"}},
		},
	})
	w.session = &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci", UID: "11111111-0000-4000-8000-000000000001"},
		Spec: v1alpha1.CoderSessionSpec{
			DeploymentRef: v1alpha1.DeploymentRef{Namespace: "coder", Name: "prod"},
			Auth:          v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}},
		},
	}
	w.api.Put(w.session.DeepCopy())
	w.grants = grant.NewStore(w.api, w.api)
	w.replica = w.startReplica()
	w.registerClient(listener.URL())
	return w
}

// startReplica starts another replica, which shares only the cluster with the others.
func (w *callbackEnv) startReplica() *Handler {
	w.Helper()
	key := testKey()
	roots := func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }
	pool := connection.NewPool(connection.Options{
		Resolver: authconfig.NewResolver(w.api, w.api, key, roots),
		Deployment: func(ctx context.Context, key types.NamespacedName) (*v1alpha1.CoderDeployment, error) {
			d := &v1alpha1.CoderDeployment{}
			return d, w.api.Get(ctx, key, d)
		},
		Settling: func(types.NamespacedName) bool { return false },
		Clock:    w.clock, Names: inventory.Names{Cluster: "abcdefgh"}, UserAgent: "test",
		Observe: func(types.NamespacedName, coder.Call) {}, Retried: func(types.NamespacedName) {},
	})
	return New(Options{Objects: w.api, Grants: w.grants, Pool: pool, Paths: []string{"/sessions/callback"},
		Clock: w.clock, Key: key})
}

// testKey is the key of all replicas.
func testKey() fingerprint.Key {
	key, err := fingerprint.NewKey([]byte("a key for tests, of 32 and more bytes"))
	if err != nil {
		panic(err)
	}
	return key
}

// stateOf is a state that the operator has made for a session.
func stateOf(session types.NamespacedName, random string) string {
	return grant.Parameter(testKey(), session, random)
}

// registerClient registers the session as a client of the server, and stores the first attempt.
func (w *callbackEnv) registerClient(rawURL string) {
	w.Helper()
	origin, err := url.Parse(rawURL)
	w.requireNoError(nil, err)
	client := coder.New(coder.Config{URL: origin, Clock: w.clock})
	w.Cleanup(client.CloseIdle)
	w.operator = oauth.New(client, w.clock)
	w.metadata, err = w.operator.Discover(w.Context())
	w.requireNoError(nil, err)
	uris := grant.RedirectURIs(publicURL)
	r, err := w.operator.Register(w.Context(), w.metadata, oauth.ClientMetadata{Name: "ci", RedirectURIs: uris})
	w.requireNoError(nil, err)
	w.hideValues(r.ClientSecret.Reveal(), r.ManagementToken.Reveal())
	w.changeDocument(func(s *grant.State) {
		s.Client = &grant.Client{Registration: r, Server: w.server.DeploymentID()}
	})
	w.createAttempt(nil)
}

// createAttempt creates an attempt with the changes, and returns its link.
func (w *callbackEnv) createAttempt(change func(*grant.Attempt)) string {
	w.Helper()
	a, err := oauth.NewAttempt(rand.Reader, publicURL, []string{"coder:workspaces.access"})
	w.requireNoError(nil, err)
	a.State = stateOf(sessionKey, a.State)
	next := &grant.Attempt{Attempt: a, ExpiresAt: w.clock.Now().Add(grant.AttemptLifetime)}
	if change != nil {
		change(next)
	}
	w.hideValues(next.State, next.Verifier.Reveal())
	w.changeDocument(func(s *grant.State) {
		next.URL, err = oauth.AuthorizationURL(w.metadata, s.Client.Registration, next.Attempt)
		w.requireNoError(nil, err)
		s.Ask(next, w.clock.Now())
	})
	return next.URL
}

// giveConsent gives the person's consent, and returns the address to which the server redirects the
// browser.
func (w *callbackEnv) giveConsent() string {
	w.Helper()
	return w.consentAt(w.readDocument().Attempt.URL)
}

func (w *callbackEnv) consentAt(link string) string {
	w.Helper()
	location, err := w.server.ApproveOAuth(person, link)
	w.requireNoError(nil, err)
	back, err := url.Parse(location)
	w.requireNoError(nil, err)
	w.hideValues(back.Query().Get("code"))
	return location
}

// withParameters returns the address with other parameters: pairs of name and value.
func withParameters(location string, changes ...string) string {
	u, err := url.Parse(location)
	if err != nil {
		panic(err)
	}
	query := u.Query()
	for i := 0; i < len(changes); i += 2 {
		query.Set(changes[i], changes[i+1])
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// answer is the response that a browser gets.
type answer struct {
	*httptest.ResponseRecorder
	outcome outcome
}

// openAt requests an address at a replica, as a browser does.
func (w *callbackEnv) openAt(h *Handler, location string) answer {
	w.Helper()
	return w.sendRequest(h, httptest.NewRequest(http.MethodGet, location, nil))
}

func (w *callbackEnv) sendRequest(h *Handler, r *http.Request) answer {
	w.Helper()
	got := answer{ResponseRecorder: httptest.NewRecorder()}
	logger := funcr.New(w.logged.writeLine, funcr.Options{Verbosity: 10})
	h.ServeHTTP(got, r.WithContext(log.IntoContext(r.Context(), logger)))
	for o, c := range pageContents {
		if strings.Contains(got.Body.String(), "<h1>"+c.title+"</h1>") && got.Code == c.status {
			got.outcome = o
		}
	}
	w.requireNoSecrets(got)
	return got
}

// wantOutcome fails unless the answer is the page of the outcome.
func (w *callbackEnv) wantOutcome(got answer, want outcome) {
	w.Helper()
	if got.outcome != want {
		w.Errorf("got page %q with status %d, want %q", got.outcome, got.Code, want)
	}
}

// hideValues adds a value that must not be disclosed.
func (w *callbackEnv) hideValues(values ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, value := range values {
		if value != "" {
			w.hidden = append(w.hidden, value, url.QueryEscape(value))
		}
	}
}

// requireNoSecrets fails if an answer, or anything logged so far, contains a credential or the state
// (B90).
func (w *callbackEnv) requireNoSecrets(got answer) {
	w.Helper()
	if s, _, err := w.grants.Read(w.Context(), w.session); err == nil && s.Grant != nil {
		w.hideValues(s.Grant.AccessToken.Reveal(), s.Grant.RefreshToken.Reveal())
	}
	var header bytes.Buffer
	_ = got.Header().Write(&header)
	w.logged.mu.Lock()
	logged := w.logged.text.String()
	w.logged.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for place, text := range map[string]string{"page": got.Body.String(), "header": header.String(), "log": logged} {
		for _, value := range w.hidden {
			if strings.Contains(text, value) {
				w.Errorf("the %s shows a credential:\n%s", place, text)
			}
		}
	}
}

func (w *callbackEnv) readDocument() grant.State {
	w.Helper()
	s, _, err := w.grants.Read(context.WithoutCancel(w.Context()), w.session)
	w.requireNoError(nil, err)
	return s
}

func (w *callbackEnv) changeDocument(change func(*grant.State)) {
	w.Helper()
	_, err := w.grants.Change(w.Context(), w.session, func(s *grant.State) error { change(s); return nil })
	w.requireNoError(nil, err)
}

// documentVersion is the resource version of the document.
func (w *callbackEnv) documentVersion() string {
	if secret := w.api.storedDocument(); secret != nil {
		return secret.ResourceVersion
	}
	return ""
}

// countExchanges is the number of requests to the token endpoint.
func (w *callbackEnv) countExchanges() int { return w.server.Count(http.MethodPost, "/oauth2/tokens") }

// wantGrant fails unless the document has a grant that the server accepts.
func (w *callbackEnv) wantGrant() {
	w.Helper()
	s := w.readDocument()
	if s.Grant == nil || !w.server.AcceptsToken(s.Grant.AccessToken.Reveal()) || s.Ended != nil ||
		!s.Grant.IssuedAt.Equal(w.clock.Now()) {
		w.Fatalf("the document is %+v", s)
	}
	if len(w.server.OAuthGrants(person, "")) != 1 {
		w.Error("the server has another number of grants than one")
	}
}

func (w *callbackEnv) requireNoError(_ any, err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

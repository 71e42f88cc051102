// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// Settings of the servers' OAuth2 provider, and the operator's callback.
const (
	simAccessLifetime  = 3 * time.Hour
	simRefreshLifetime = 100 * time.Hour
	simCallback        = "https://operator.test" + grant.CallbackPath
)

// simConsents is about people who consent, and the grants that the servers have issued.
type simConsents struct {
	// willing means that people consent as soon as they are asked.
	willing bool
	// tried is when a person last opened a URL.
	tried map[string]time.Time
	// loses means that the answer to the next refresh is lost.
	loses bool
	// used holds the refresh tokens that a server has exchanged.
	used map[string]bool
	// abandoned holds the clients and tokens that the operator can no longer know of, or reach.
	abandoned map[string]bool
}

func newSimConsents() simConsents {
	return simConsents{tried: map[string]time.Time{}, used: map[string]bool{}, abandoned: map[string]bool{}}
}

var consentEvents = []string{
	"a person consents", "a person declines", "a callback is repeated", "a refresh", "the answer to a refresh is lost",
	"a refresh is refused", "a grant is revoked", "an access token is revoked", "a client is deleted",
	"the provider is switched", "a grant cannot be stored",
}

var consents = []func(*simWorld){
	(*simWorld).consentSome, (*simWorld).consentSome, (*simWorld).consentSome, (*simWorld).consentSome,
	(*simWorld).revokeGrant, (*simWorld).revokeAccess, (*simWorld).deleteClient, (*simWorld).switchProvider,
	(*simWorld).refuseGrant, (*simWorld).loseRefresh, (*simWorld).jump,
}

// consentSome makes people consent, decline or repeat a callback.
func (w *simWorld) consentSome() {
	for _, s := range w.sessions() {
		if a := s.Status.Authorization; a != nil && w.rng.IntN(4) > 0 {
			w.consent(s, w.rng.IntN(6))
		}
	}
}

// consentAll makes people consent to all requests, again after a minute if that did not help, and
// reports whether there was one.
func (w *simWorld) consentAll() bool {
	done := false
	for _, s := range w.sessions() {
		if a := s.Status.Authorization; a != nil && w.clock.Now().Sub(w.consents.tried[a.URL]) > time.Minute {
			w.consent(s, 2)
			done = true
		}
	}
	return done
}

// consent opens the URL of a session as a person does, and the callback as the browser does.
func (w *simWorld) consent(s *v1alpha1.CoderSession, how int) {
	asked := s.Status.Authorization.URL
	w.consents.tried[asked] = w.clock.Now()
	server := w.serves(w.deployment(string(s.Spec.DeploymentRef.Name))).server
	location, err := server.ApproveOAuth("ada", asked)
	if err != nil {
		w.tracef("* ada cannot consent to session %s: %v", s.Name, err)
		return
	}
	if code := queryOf(location).Get("code"); code != "" {
		w.known[code] = "code"
	}
	if how == 0 {
		w.happens("a person declines")
		location = simCallback + "?" + url.Values{
			"error": {"access_denied"}, "state": {queryOf(asked).Get("state")},
		}.Encode()
	}
	w.tracef("* ada answers session %s (%d)", s.Name, how)
	w.happens("a person consents")
	w.callBack(location)
	if how == 1 {
		w.happens("a callback is repeated")
		w.callBack(location)
	}
}

func queryOf(address string) url.Values {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	return u.Query()
}

// callBack opens the callback of another replica, which has the caches and connections of this one.
func (w *simWorld) callBack(location string) {
	replica := simReplica{w: w}
	handler := callback.New(callback.Options{
		Objects: simClient{p: w.operator}, Grants: grant.NewStore(replica, replica), Pool: w.operator.parts.Pool,
		Clock: operatorClock{w.clock, w}, Key: w.key,
	})
	answer := httptest.NewRecorder()
	w.depth++
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, location, nil).WithContext(w.ctx()))
	w.depth--
	w.tracef("  callback: %d", answer.Code)
	w.secretless("a page of the callback", answer.Body.String())
}

// simReplica reads and writes Secrets as another replica, whose requests are always served.
type simReplica struct {
	client.Client
	w *simWorld
}

func (c simReplica) Get(_ context.Context, key client.ObjectKey, out client.Object, _ ...client.GetOption) error {
	return c.w.api.get(ref{kindOf(out), key}, out)
}

func (c simReplica) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	return c.w.api.create(object)
}

func (c simReplica) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	return c.w.api.update(object)
}

// anyGrant picks a grant of a server.
func (w *simWorld) anyGrant() (*simCoder, coderd.OAuthGrant, bool) {
	c := pick(w, w.coders)
	grants := c.server.OAuthGrants("", "")
	if len(grants) == 0 {
		return c, coderd.OAuthGrant{}, false
	}
	return c, pick(w, grants), true
}

// revokeGrant revokes a grant on the server, as its user may.
func (w *simWorld) revokeGrant() {
	if c, g, ok := w.anyGrant(); ok {
		w.tracef("* grant of token %s is revoked on the server", g.Key.ID)
		w.happens("a grant is revoked")
		w.must(nil, c.server.RevokeOAuthGrant(g.UserID, g.ClientID))
	}
}

// revokeAccess revokes only the access token.
func (w *simWorld) revokeAccess() {
	if c, g, ok := w.anyGrant(); ok {
		w.tracef("* access token %s is revoked on the server", g.Key.ID)
		w.happens("an access token is revoked")
		w.must(nil, c.server.RevokeKey(g.Key.ID))
	}
}

// deleteClient deletes the registration of a session.
func (w *simWorld) deleteClient() {
	c := pick(w, w.coders)
	if apps := c.server.OAuthApps(); len(apps) > 0 {
		app := pick(w, apps)
		w.tracef("* client %s is deleted on the server", app.ClientID)
		w.happens("a client is deleted")
		w.must(nil, c.server.DeleteOAuthApp(app.ClientID))
	}
}

func (w *simWorld) switchProvider() {
	on := w.rng.IntN(2) == 0
	w.tracef("* OAuth2 provider on: %t", on)
	w.happens("the provider is switched")
	pick(w, w.coders).server.SetOAuth2Provider(on)
}

// refuseGrant makes the API server refuse the document of a session for a while, beginning either
// now or when the server has carried out a refresh.
func (w *simWorld) refuseGrant() {
	document := key("coder", pick(w, []string{"login-oauth", "dash-oauth"}))
	err := pick(w, []func(ref) error{policyDenies, webhookFails, overloaded, timesOut})
	f := refusal{
		what: "a grant cannot be stored", verbs: []string{"update", "create"}, kind: kindSecret, key: document, err: err,
	}
	d := w.jitter(pick(w, []time.Duration{time.Minute, 30 * time.Minute}))
	if w.rng.IntN(3) == 0 {
		w.refuse(f, d)
		return
	}
	w.upon("refresh", func() { w.refuse(f, d) })
}

// loseRefresh loses the answer to the next refresh, which the server carries out.
func (w *simWorld) loseRefresh() { w.consents.loses = true }

// losesAnswer reports whether the answer to a request is lost.
func (w *simWorld) losesAnswer(r *http.Request, body []byte) bool {
	_, refresh := isRefresh(r, body)
	lost := w.strikes(w.noise.lose) || refresh && w.consents.loses
	if refresh && lost {
		w.consents.loses = false
		w.happens("the answer to a refresh is lost")
	}
	return lost
}

// isRefresh returns the refresh token of a request to refresh a grant.
func isRefresh(r *http.Request, body []byte) (token string, ok bool) {
	form, err := url.ParseQuery(string(body))
	ok = err == nil && r.Method == http.MethodPost && r.URL.Path == "/oauth2/tokens" &&
		form.Get("grant_type") == "refresh_token"
	return form.Get("refresh_token"), ok
}

// spends checks that no refresh token is sent again after a server has exchanged it (B67).
func (c *simConsents) spends(w *simWorld, r *http.Request, body []byte) {
	token, ok := isRefresh(r, body)
	if !ok {
		return
	}
	if c.used[token] {
		w.fail("B67: a refresh token is spent again after the server has exchanged it")
	}
	w.begins("refresh")
}

// learnGrant records the effect of a request to the OAuth2 provider.
func (c *simCoder) learnGrant(r *http.Request, body []byte, answer *httptest.ResponseRecorder) {
	w := c.w
	token, refresh := isRefresh(r, body)
	switch {
	case r.URL.Path == "/oauth2/tokens" && answer.Code == http.StatusOK:
		var pair struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
		}
		w.must(nil, json.Unmarshal(answer.Body.Bytes(), &pair))
		w.know(pair.Access, "access token")
		w.known[pair.Refresh] = "refresh token"
		w.tokens[idOf(pair.Access)] = &minted{server: c, name: "granted"}
		if refresh {
			w.consents.used[token] = true
			w.happens("a refresh")
		}
	case refresh:
		w.happens("a refresh is refused")
	case r.URL.Path == "/oauth2/register" && answer.Code == http.StatusCreated:
		var client struct {
			Secret     string `json:"client_secret"`
			Management string `json:"registration_access_token"`
		}
		w.must(nil, json.Unmarshal(answer.Body.Bytes(), &client))
		w.known[client.Secret], w.known[client.Management] = "client secret", "management token"
	}
}

// abandonClients remembers that a deployment goes to another server: what was granted until now
// cannot be revoked there any more (B73).
func (w *simWorld) abandonClients() {
	for _, c := range w.coders {
		for _, app := range c.server.OAuthApps() {
			w.consents.abandoned[app.ClientID] = true
		}
	}
}

// abandon remembers that the operator gave up revoking the tokens that an event names.
func (w *simWorld) abandon(text string) {
	for _, c := range w.coders {
		for _, g := range c.server.OAuthGrants("", "") {
			if strings.Contains(text, g.Key.ID) {
				w.consents.abandoned[g.ClientID] = true
			}
		}
	}
}

// settledGrants checks that every grant on a server is the one of a session.
func (w *simWorld) settledGrants() {
	held := map[string]bool{}
	for _, s := range w.sessions() {
		secret, ok := w.api.objects[ref{kindSecret, key(s.Namespace, grant.SecretName(s))}].(*corev1.Secret)
		if !ok {
			continue
		}
		var document struct {
			Grant *struct {
				KeyID string `json:"keyID"`
			} `json:"grant"`
		}
		w.must(nil, json.Unmarshal(secret.Data["state"], &document))
		if document.Grant != nil {
			held[document.Grant.KeyID] = true
		}
		if s.Spec.Auth.OAuth == nil {
			w.fail("B71: session %s/%s no longer uses OAuth and has a document", s.Namespace, s.Name)
		}
	}
	for _, c := range w.coders {
		for _, g := range c.server.OAuthGrants("", "") {
			if !held[g.Key.ID] && !w.consents.abandoned[g.ClientID] {
				w.fail("B71: the grant of token %s (client %s) belongs to no session", g.Key.ID, g.ClientID)
			}
		}
	}
}

// refreshesInTime reports whether a session with auth.oauth is due to be refreshed.
func (w *simWorld) refreshesInTime(s *v1alpha1.CoderSession) bool {
	if s == nil || s.Spec.Auth.OAuth == nil || s.Status.NextRefreshTime == nil {
		return false
	}
	now := w.serves(w.deployment(string(s.Spec.DeploymentRef.Name))).server.Now()
	return !now.Add(simSlack).Before(s.Status.NextRefreshTime.Time)
}

// sessionOfDocument returns the session that a Secret with a grant belongs to; nil: none.
func (w *simWorld) sessionOfDocument(r ref) *v1alpha1.CoderSession {
	i := slices.IndexFunc(w.sessions(), func(s *v1alpha1.CoderSession) bool {
		return r.key == key(s.Namespace, grant.SecretName(s))
	})
	if i < 0 {
		return nil
	}
	return w.sessions()[i]
}

// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// Names and limits of the simulated servers.
const (
	simCluster     = "simulate"
	simOrphanGrace = 10 * time.Minute
	simOperatorID  = "operator"
)

var simBots = []string{"bot-1", "bot-2"}

// simCoder is a Coder server behind an edge (a proxy) that requires a pair of headers. With a
// third header the edge authenticates the user itself.
type simCoder struct {
	w      *simWorld
	server *coderd.Server
	http   *httptest.Server
	down   bool
	// told is how far its clock was ahead of the operator's when it last answered a deployment, by the
	// deployment's name; skew is how far it is off.
	told  map[string]time.Duration
	skew  time.Duration
	pairs map[int]bool // generations of header pairs that the edge accepts
	// suspended holds the suspended users with the time of the suspension.
	suspended map[string]time.Time
	vouch     string // the token that the edge sends for the operator
	token     string // the operator's own token, valid unless it was broken by an event
	supply    string // the token that a user supplies
	// watch streams workspaces; reader is the token with which the simulation reads them.
	watch  simWatch
	reader string
}

// minted describes a token of a simulated server.
type minted struct {
	server *simCoder
	name   string
	// revoked by the operator, broken (revoked) by an event, accepted by the server.
	revoked, broken, accepted bool
	// ends and replaced are set for the operator's own tokens: the expiration, and the time
	// at which the operator replaced the token.
	ends, replaced time.Time
}

func newSimCoder(w *simWorld) *simCoder {
	c := &simCoder{w: w, told: map[string]time.Duration{}, pairs: map[int]bool{1: true}, suspended: map[string]time.Time{}}
	c.server = coderd.New(coderd.Options{
		Clock: w.clock, Random: simBytes{w}, DisableRateLimits: true, OAuth2Provider: true, DynamicRegistration: true,
		SessionDuration: simAccessLifetime, RefreshLifetime: simRefreshLifetime,
	})
	w.must(c.server.CreateUser(coderd.UserOptions{Username: simOperatorID, Roles: []string{coderd.RoleOwner}}))
	for _, bot := range append(simBots, "ada") {
		w.must(c.server.CreateUser(coderd.UserOptions{Username: bot}))
	}
	c.watch.server = c.server
	c.vouch = c.issue(simOperatorID, "edge")
	c.issueOwn()
	c.supply = c.issue("ada", "laptop")
	c.http = httptest.NewServer(c)
	c.server.Reconfigure(func(o *coderd.Options) { o.AccessURL = c.http.URL })
	return c
}

// issue creates a token that does not belong to the operator.
func (c *simCoder) issue(user, name string) string { return c.issueFor(user, name, 2000*time.Hour) }

func (c *simCoder) issueFor(user, name string, lifetime time.Duration) string {
	value, key, err := c.server.CreateToken(coderd.TokenOptions{User: user, Name: name, Lifetime: lifetime})
	c.w.must(key, err)
	c.w.know(value, "token of "+user)
	c.w.tokens[key.ID] = &minted{server: c, name: name}
	return value
}

// simBytes reads random bytes that are derived from the seed.
type simBytes struct{ w *simWorld }

func (b simBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b.w.rng.Uint32())
	}
	return len(p), nil
}

// ServeHTTP answers one request of the operator. Random events happen before and after the
// server handles it; the request or its response may be lost.
func (c *simCoder) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := c.w
	defer w.sync()
	body, _ := io.ReadAll(r.Body)
	what := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v2")
	finish := w.begun(what, r.Header.Get("X-Deployment"), body)
	defer finish()
	w.meanwhile(!looksUp(r))
	if w.operator.dead || c.down || w.strikes(w.noise.drop) {
		w.tracef("  coder %s: dropped", what)
		panic(http.ErrAbortHandler)
	}
	w.consents.spends(w, r, body)
	w.countWorkspaceCall(r)
	answer, served := httptest.NewRecorder(), true
	switch {
	case w.troubles(answer) || !c.admit(answer, r):
		served = false
	case opensStream(r):
		c.watch.answer(answer, r)
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.server.ServeHTTP(answer, r)
		c.learn(r, body, answer)
	}
	w.tracef("  coder %s: %d", what, answer.Code)
	w.meanwhile(!looksUp(r))
	if w.operator.dead || w.losesAnswer(r, body) {
		w.tracef("  coder %s: answer lost", what)
		panic(http.ErrAbortHandler)
	}
	if answer.Header().Get("Date") == "" {
		answer.Header().Set("Date", c.server.Now().Format(http.TimeFormat))
	}
	if served { // what stands before a server tells nothing of its clock
		c.told[r.Header.Get("X-Deployment")] = c.server.Now().Sub(w.wall())
	}
	send(rw, answer)
}

// looksUp reports whether a request looks up a user or the scopes; other passes wait for its response.
func looksUp(r *http.Request) bool {
	if r.URL.Path == "/api/v2/auth/scopes" {
		return true
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/v2/users/")
	return ok && r.Method == http.MethodGet && rest != "me" &&
		(!strings.Contains(rest, "/") || strings.HasSuffix(rest, "/tokenconfig"))
}

// troubles may answer instead of the server, with the errors of an overloaded server or of a
// proxy.
func (w *simWorld) troubles(answer http.ResponseWriter) bool {
	switch {
	case w.strikes(w.noise.limited):
		answer.Header().Set("Retry-After", strconv.Itoa(1+w.rng.IntN(30)))
		answer.WriteHeader(http.StatusTooManyRequests)
	case w.strikes(w.noise.broken):
		codes := []int{http.StatusBadGateway, http.StatusInternalServerError, http.StatusServiceUnavailable}
		answer.WriteHeader(codes[w.rng.IntN(3)])
	default:
		return false
	}
	return true
}

// admit is the edge: it requires both headers of one pair, and adds the token of the user in
// the third header.
func (c *simCoder) admit(answer http.ResponseWriter, r *http.Request) bool {
	for generation := range c.pairs {
		id, key := simPair(generation)
		if r.Header.Get("X-Edge-Id") == id && r.Header.Get("X-Edge-Key") == key {
			if r.Header.Get("X-Edge-User") == simOperatorID && r.Header.Get("Coder-Session-Token") == "" {
				r.Header.Set("Coder-Session-Token", c.vouch)
			}
			return true
		}
	}
	answer.Header().Set("Content-Type", "text/html")
	answer.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(answer, "<html>no</html>")
	return false
}

// learn records the effect of a request.
func (c *simCoder) learn(r *http.Request, body []byte, answer *httptest.ResponseRecorder) {
	w := c.w
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v2/"), "/")
	switch {
	case strings.HasPrefix(r.URL.Path, "/oauth2/"):
		c.learnGrant(r, body, answer)
	case answer.Code == http.StatusCreated && r.Method == http.MethodPost:
		var key struct{ Key string }
		var order struct {
			Name string `json:"token_name"`
		}
		w.must(nil, json.Unmarshal(answer.Body.Bytes(), &key))
		w.must(nil, json.Unmarshal(body, &order))
		w.know(key.Key, "minted token "+order.Name)
		w.tokens[idOf(key.Key)] = &minted{server: c, name: order.Name}
		w.count.mints++
		w.mints[order.Name]++
		w.judgeMint(c, path[1])
		w.judgeBound(w.sessionOfToken(order.Name), c, "a token is minted")
	case answer.Code == http.StatusNoContent && r.Method == http.MethodDelete:
		w.count.revocations++
		w.revoked(c, path[len(path)-1])
	case answer.Code == http.StatusOK && r.URL.Path == "/api/v2/users/me":
		if token := w.tokens[idOf(r.Header.Get("Coder-Session-Token"))]; token != nil {
			token.accepted = true
		}
	}
}

func idOf(token string) string {
	id, _, _ := strings.Cut(token, "-")
	return id
}

// revoked checks a revocation: only tokens of the cluster may be revoked (B45), and none that
// is published (B42).
func (w *simWorld) revoked(c *simCoder, id string) {
	token := w.tokens[id]
	if id == idOf(w.content("own")) {
		w.fail("B50: the operator revoked its own token %s", id)
	}
	if token != nil && w.predecessorRevoked(token) && strings.HasPrefix(token.name, w.ownPrefix()) {
		token.revoked = true
		return
	}
	if token == nil || !strings.HasPrefix(token.name, inventory.Names{Cluster: simCluster}.Prefix()) {
		w.fail("B45: the operator revoked token %s, which is not its own: %+v", id, token)
		return
	}
	token.revoked = true
	w.judgeReaders(id)
	for _, r := range sortedRefs(w.api.objects) {
		object, ok := w.api.objects[r].(*corev1.Secret)
		if !ok || idOf(string(object.Data["session"])) != id {
			continue
		}
		session, ok := w.api.objects[ref{kindSession, r.key}].(*v1alpha1.CoderSession)
		if !ok {
			continue
		}
		// A Secret with broken annotations does not count: the operator cannot recognize its token.
		state := secret.StateOf(metadataFrom(object), session)
		if state.Ownership == secret.Owned && state.Token != nil && state.Token.ID == id {
			w.fail("B42: token %s (%s) was revoked while Secret %s publishes it", id, token.name, r.key)
		}
	}
}

// live returns the valid tokens of the cluster by id.
func (c *simCoder) live() map[string]coderd.Key {
	live := map[string]coderd.Key{}
	prefix := inventory.Names{Cluster: simCluster}.Prefix()
	for _, key := range c.server.Keys(coderd.KeyFilter{NamePrefix: prefix, Live: true}) {
		live[key.ID] = key
	}
	return live
}

// begun records that a request has started and checks that no conflicting request is running
// (B06). The returned function must be called at its end.
func (w *simWorld) begun(what, deployment string, body []byte) (finished func()) {
	w.count.requests++
	var key string
	switch {
	case what == "GET /buildinfo" && w.lane == "deployment": // a session asks for the server's id only
		w.count.verifications++
		w.verified[deployment] = append(w.verified[deployment], w.clock.Now())
		key = "verification of " + deployment
	case strings.HasPrefix(what, "POST /users/"):
		var order struct {
			Name string `json:"token_name"`
		}
		w.must(nil, json.Unmarshal(body, &order))
		key = "mint for " + order.Name[:strings.LastIndex(order.Name, "-")]
	default:
		return func() {}
	}
	if slices.Contains(w.underway, key) {
		w.fail("B06: two at once: %s", key)
	}
	w.underway = append(w.underway, key)
	w.begins(key)
	return func() { w.underway = slices.DeleteFunc(w.underway, func(k string) bool { return k == key }) }
}

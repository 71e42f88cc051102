// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
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

// Names of what the simulated servers have.
const (
	simCluster     = "simulate"
	simOrphanGrace = 10 * time.Minute
	simOperatorID  = "operator"
)

var simBots = []string{"bot-1", "bot-2"}

// simCoder is a Coder server behind an edge that asks for two headers which belong together. A third header stands for
// a user whom the edge knows.
type simCoder struct {
	w      *simWorld
	server *coderd.Server
	http   *httptest.Server
	down   bool
	pairs  map[int]bool // generations of header pairs that the edge takes
	// suspended users, and since when.
	suspended map[string]time.Time
	vouch     string // the token with which the edge vouches for the operator
	token     string // the operator's own, valid unless the world broke it
	supply    string // a person's own
}

// minted is what the world knows of a token.
type minted struct {
	server *simCoder
	name   string
	// revoked by the operator, broken by somebody else, seen to be accepted.
	revoked, broken, accepted bool
	// ends and replaced are of the operator's own only: when it ends, and when the operator put the next in its place.
	ends, replaced time.Time
}

func newSimCoder(w *simWorld) *simCoder {
	c := &simCoder{w: w, pairs: map[int]bool{1: true}, suspended: map[string]time.Time{}}
	c.server = coderd.New(coderd.Options{Clock: w.clock, Random: simBytes{w}, DisableRateLimits: true})
	w.must(c.server.CreateUser(coderd.UserOptions{Username: simOperatorID, Roles: []string{coderd.RoleOwner}}))
	for _, bot := range append(simBots, "ada") {
		w.must(c.server.CreateUser(coderd.UserOptions{Username: bot}))
	}
	c.vouch = c.issue(simOperatorID, "edge")
	c.issueOwn()
	c.supply = c.issue("ada", "laptop")
	c.http = httptest.NewServer(c)
	return c
}

// issue makes a token that the operator has nothing to do with.
func (c *simCoder) issue(user, name string) string { return c.issueFor(user, name, 2000*time.Hour) }

func (c *simCoder) issueFor(user, name string, lifetime time.Duration) string {
	value, key, err := c.server.CreateToken(coderd.TokenOptions{User: user, Name: name, Lifetime: lifetime})
	c.w.must(key, err)
	c.w.know(value, "token of "+user)
	c.w.tokens[key.ID] = &minted{server: c, name: name}
	return value
}

// simBytes are random bytes of the world's seed.
type simBytes struct{ w *simWorld }

func (b simBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b.w.rng.Uint32())
	}
	return len(p), nil
}

// ServeHTTP answers one request of the operator's. Things happen before and after the server does its work; the request
// or its answer may be lost.
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
	answer := httptest.NewRecorder()
	if !w.refuse(answer) && c.admit(answer, r) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.server.ServeHTTP(answer, r)
		c.learn(r, body, answer)
	}
	w.tracef("  coder %s: %d", what, answer.Code)
	w.meanwhile(!looksUp(r))
	if w.operator.dead || w.strikes(w.noise.lose) {
		w.tracef("  coder %s: answer lost", what)
		panic(http.ErrAbortHandler)
	}
	if answer.Header().Get("Date") == "" {
		answer.Header().Set("Date", c.server.Now().Format(http.TimeFormat))
	}
	maps.Copy(rw.Header(), answer.Header())
	rw.WriteHeader(answer.Code)
	_, _ = rw.Write(answer.Body.Bytes())
}

// looksUp tells the look-up of a user, for which others wait.
func looksUp(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/v2/users/")
	return ok && r.Method == http.MethodGet && rest != "me" && (!strings.Contains(rest, "/") || strings.HasSuffix(rest, "/tokenconfig"))
}

// refuse answers in the server's place, as one does that is overloaded or has a proxy in front of it.
func (w *simWorld) refuse(answer http.ResponseWriter) bool {
	switch {
	case w.strikes(w.noise.limited):
		answer.Header().Set("Retry-After", strconv.Itoa(1+w.rng.IntN(30)))
		answer.WriteHeader(http.StatusTooManyRequests)
	case w.strikes(w.noise.broken):
		answer.WriteHeader([]int{http.StatusBadGateway, http.StatusInternalServerError, http.StatusServiceUnavailable}[w.rng.IntN(3)])
	default:
		return false
	}
	return true
}

// admit is the edge: both headers of one pair, and perhaps a user.
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

// learn notes what a request did.
func (c *simCoder) learn(r *http.Request, body []byte, answer *httptest.ResponseRecorder) {
	w := c.w
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v2/"), "/")
	switch {
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

// revoked checks a revocation: it meets tokens of the cluster only (B45), and none that readers find (B42).
func (w *simWorld) revoked(c *simCoder, id string) {
	token := w.tokens[id]
	if id == idOf(w.content("own")) {
		w.fail("B50: the operator revoked its own token %s", id)
	}
	if token != nil && w.predecessorRevoked(token) {
		token.revoked = true
		return
	}
	if token == nil || !strings.HasPrefix(token.name, inventory.Names{Cluster: simCluster}.Prefix()) {
		w.fail("B45: the operator revoked token %s, which is not its own: %+v", id, token)
		return
	}
	token.revoked = true
	for _, r := range sortedRefs(w.api.objects) {
		object, ok := w.api.objects[r].(*corev1.Secret)
		if !ok || idOf(string(object.Data["session"])) != id {
			continue
		}
		session, ok := w.api.objects[ref{kindSession, r.key}].(*v1alpha1.CoderSession)
		if !ok {
			continue
		}
		// A Secret whose annotations somebody broke publishes nothing that the operator knows of.
		if state := secret.StateOf(metadataFrom(object), session); state.Ownership == secret.Owned && state.Token != nil && state.Token.ID == id {
			w.fail("B42: token %s (%s) was revoked while Secret %s publishes it", id, token.name, r.key)
		}
	}
}

// live lists the tokens of the cluster that the server accepts, by id.
func (c *simCoder) live() map[string]coderd.Key {
	live := map[string]coderd.Key{}
	for _, key := range c.server.Keys(coderd.KeyFilter{NamePrefix: inventory.Names{Cluster: simCluster}.Prefix(), Live: true}) {
		live[key.ID] = key
	}
	return live
}

// begun notes that a request is under way and checks that no other is that may not be at the same time (B06).
func (w *simWorld) begun(what, deployment string, body []byte) (finished func()) {
	w.count.requests++
	var key string
	switch {
	case what == "GET /buildinfo":
		w.count.verifications++
		w.verified[deployment] = append(w.verified[deployment], w.clock.Now())
		key = "verification of " + deployment
	case strings.HasPrefix(what, "POST "):
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

// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// start is where every fake clock begins; it is a whole minute, the begin of a rate window.
var start = time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC)

var profiles = []coderd.Profile{coderd.ProfileR30, coderd.ProfileMid, coderd.ProfileNew}

// world is a server on a port with an owner and a member.
type world struct {
	t      *testing.T
	clock  *clocktesting.FakePassiveClock
	server *coderd.Server
	ln     *coderd.Listener
	client *http.Client

	owner, ada           coderd.User
	ownerToken, adaToken string
	adaKey               coderd.Key
}

func newWorld(t *testing.T, o coderd.Options) *world {
	t.Helper()
	return newWorldAt(t, o, coderd.ListenOptions{}, nil)
}

func newWorldAt(t *testing.T, o coderd.Options, at coderd.ListenOptions, clientTLS *tls.Config) *world {
	t.Helper()
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(start)}
	o.Clock = w.clock
	w.server = coderd.New(o)
	var err error
	if w.ln, err = w.server.Start(at); err != nil {
		t.Fatalf("starting the listener: %v", err)
	}
	t.Cleanup(func() { _ = w.ln.Close() })
	w.client = newClient(t, clientTLS)
	w.owner, w.ownerToken, _ = w.createUser(coderd.UserOptions{Username: "root", Roles: []string{coderd.RoleOwner}})
	w.ada, w.adaToken, w.adaKey = w.createUser(coderd.UserOptions{Username: "ada"})
	return w
}

func newClient(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// createUser creates a user with a token named "first" that lives for 100 days.
func (w *world) createUser(o coderd.UserOptions) (coderd.User, string, coderd.Key) {
	w.t.Helper()
	u, err := w.server.CreateUser(o)
	if err != nil {
		w.t.Fatalf("creating user: %v", err)
	}
	token, key, err := w.server.CreateToken(coderd.TokenOptions{User: u.ID, Name: "first", Lifetime: 2400 * time.Hour})
	if err != nil {
		w.t.Fatalf("creating token: %v", err)
	}
	return u, token, key
}

func (w *world) advanceClock(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

// response is an answer with its body read.
type response struct {
	*http.Response
	text string
}

// problem is the Coder error shape (A.2).
type problem struct {
	Message     string `json:"message"`
	Detail      string `json:"detail"`
	Validations []struct {
		Field  string `json:"field"`
		Detail string `json:"detail"`
	} `json:"validations"`
}

func (r response) decodeProblem() problem {
	var p problem
	_ = json.Unmarshal([]byte(r.text), &p)
	return p
}

func decode[T any](t *testing.T, r response) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.text), &v); err != nil {
		t.Fatalf("decoding %q: %v", r.text, err)
	}
	return v
}

// newRequest builds a request; body may be "" for none.
func (w *world) newRequest(method, path, token, body string) *http.Request {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.ln.URL()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Coder-Session-Token", token)
	}
	return req
}

func (w *world) send(req *http.Request) (response, error) {
	res, err := w.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = res.Body.Close() }()
	var buf bytes.Buffer
	_, err = io.Copy(&buf, res.Body)
	return response{Response: res, text: buf.String()}, err
}

func (w *world) do(method, path, token, body string) response {
	w.t.Helper()
	res, err := w.send(w.newRequest(method, path, token, body))
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res
}

// want sends a request, checks the status and returns the answer.
func (w *world) want(status int, method, path, token, body string) response {
	w.t.Helper()
	res := w.do(method, path, token, body)
	if res.StatusCode != status {
		w.t.Fatalf("%s %s: status %d, want %d; body %s", method, path, res.StatusCode, status, res.text)
	}
	return res
}

// mintToken mints for {user} and returns the value and the id.
func (w *world) mintToken(user, token, body string) (value, id string) {
	w.t.Helper()
	res := w.want(http.StatusCreated, "POST", "/api/v2/users/"+user+"/keys/tokens", token, body)
	value = decode[struct{ Key string }](w.t, res).Key
	id, _, _ = strings.Cut(value, "-")
	return value, id
}

// eachProfile runs a test under each profile.
func eachProfile(t *testing.T, test func(t *testing.T, profile coderd.Profile)) {
	t.Helper()
	for _, profile := range profiles {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			test(t, profile)
		})
	}
}

func isNew(profile coderd.Profile) bool { return profile == coderd.ProfileNew }

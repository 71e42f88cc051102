// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// Users of the Coder server in most tests: the operator's own, a machine and a person.
const (
	OperatorUser = "operator"
	MachineUser  = "ci-bot"
	PersonUser   = "ada"
)

// Env is what a test has around it. The fields are set before the test begins; the methods fail the
// test, so they are for its own goroutine.
type Env struct {
	T         testing.TB
	Cluster   *kube.Cluster
	Client    client.Client // the user's: direct, and not counted
	Namespace string

	Coder *coderd.Server
	// Servers signs the certificates of the Coder server, Clients those of its clients.
	Servers, Clients *certs.Authority

	// Label says in every message which case this is; empty: the test's name is enough.
	Label string
	// Patience is how long Eventually waits, one minute by default, and Interval the pause between
	// two looks (zero: one that grows).
	Patience, Interval time.Duration
	// Describe is what helps to understand why something did not come; nil: the latest requests to
	// the Coder server.
	Describe func() string
}

// New makes a namespace with these labels for a test. The Coder server and the authorities are left
// to the test.
func New(t testing.TB, cluster *kube.Cluster, labels map[string]string) *Env {
	t.Helper()
	return &Env{
		T: t, Cluster: cluster, Client: cluster.Client, Namespace: cluster.Namespace(t, labels), Patience: time.Minute,
	}
}

// InNamespace is a copy for another namespace.
func (e *Env) InNamespace(namespace string) *Env {
	other := *e
	other.Namespace = namespace
	return &other
}

// Must fails the test at an error.
func (e *Env) Must(err error) {
	e.T.Helper()
	switch {
	case err != nil && e.Label != "":
		e.T.Fatalf("%s: %v", e.Label, err)
	case err != nil:
		e.T.Fatal(err)
	}
}

// NewAuthorities makes Servers and Clients, and returns a certificate for the server.
func (e *Env) NewAuthorities() *certs.Certificate {
	e.T.Helper()
	e.Servers, e.Clients = certs.ForTest(e.T, "servers"), certs.ForTest(e.T, "clients")
	return e.Servers.IssueForTest(e.T, certs.Request{})
}

// CreateUsers creates users of the Coder server without roles.
func (e *Env) CreateUsers(names ...string) {
	e.T.Helper()
	for _, name := range names {
		e.CreateUser(name)
	}
}

// CreateUser creates a user of the Coder server.
func (e *Env) CreateUser(name string, roles ...string) coderd.User {
	e.T.Helper()
	user, err := e.Coder.CreateUser(coderd.UserOptions{Username: name, Roles: roles})
	e.Must(err)
	return user
}

// CreateToken makes a token on the Coder server that is good for 100 h, past the operator. An empty
// name: the server chooses one.
func (e *Env) CreateToken(user, name string) string {
	e.T.Helper()
	value, _, err := e.Coder.CreateToken(coderd.TokenOptions{User: user, Name: name, Lifetime: 100 * time.Hour})
	e.Must(err)
	return value
}

// LiveTokens are the tokens with this prefix that the Coder server accepts.
func (e *Env) LiveTokens(prefix string) []coderd.Key {
	return e.Coder.Keys(coderd.KeyFilter{NamePrefix: prefix, Live: true})
}

// CountMints is how many tokens the Coder server was asked to make.
func (e *Env) CountMints() int { return e.Coder.Count("POST", "/api/v2/users/{user}/keys/tokens") }

// Eventually waits until all checks hold at one time.
func (e *Env) Eventually(checks ...wait.Check) {
	e.T.Helper()
	if err := wait.Until(e.T.Context(), e.Patience, e.Interval, wait.All(checks...)); err != nil {
		e.Must(fmt.Errorf("%w\n%s", err, e.describeFailure()))
	}
}

// Throughout watches for a while that checks hold all the time.
func (e *Env) Throughout(d time.Duration, checks ...wait.Check) {
	e.T.Helper()
	e.Must(wait.Throughout(e.T.Context(), d, 10*time.Millisecond, wait.All(checks...)))
}

func (e *Env) describeFailure() string {
	switch {
	case e.Describe != nil:
		return e.Describe()
	case e.Coder == nil:
		return ""
	}
	return "what the Coder server was asked last:\n" + e.RecentRequests(20)
}

// RecentRequests lists the latest requests to the Coder server.
func (e *Env) RecentRequests(most int) string {
	requests := e.Coder.Requests()
	var text strings.Builder
	for _, r := range requests[max(0, len(requests)-most):] {
		fmt.Fprintf(&text, "  %s %s %s by %s: %d\n", r.Time.Format("05.000"), r.Method, r.Path, r.Username, r.Status)
	}
	return text.String()
}

// NewContext outlives the test's own context, for what its cleanup stops.
func NewContext() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

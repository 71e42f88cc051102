// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"net/http"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
)

// Options configure a Handler. All fields but Paths and Served are required.
type Options struct {
	// Objects reads sessions and deployments by name, from a cache.
	Objects client.Reader
	// Grants stores the documents of all sessions.
	Grants *grant.Store
	// Pool has the connections to deployments. This process may not have used them before.
	Pool *connection.Pool
	// Key tells states that the operator has made. It is the one that the controllers have.
	Key fingerprint.Key
	// Paths are served in addition to [grant.CallbackPath]: the path of the public callback URL.
	Paths []string
	// Clock is the operator's.
	Clock clock.PassiveClock
	// Served is told the outcome of each request, one of a few words. Nil: nothing is.
	Served func(outcome string)
}

// Handler serves the redirect URIs of all sessions. Create it with [New]. It is safe for concurrent
// use.
//
// It answers every request with a page. Its log messages, to the logger of the request's context,
// are constant and name sessions. Neither they nor the pages contain anything of the query except
// the session's name.
type Handler struct {
	objects      client.Reader
	grants       *grant.Store
	pool         *connection.Pool
	paths        map[string]bool
	clock        clock.PassiveClock
	key          fingerprint.Key
	limits       limits
	storeTimeout time.Duration
	served       func(outcome string)
}

// New returns a Handler.
func New(o Options) *Handler {
	served := o.Served
	if served == nil {
		served = func(string) {}
	}
	h := &Handler{
		served:  served,
		objects: o.Objects, grants: o.Grants, pool: o.Pool, clock: o.Clock,
		key: o.Key, paths: map[string]bool{grant.CallbackPath: true}, storeTimeout: storeTimeout,
	}
	for _, path := range o.Paths {
		h.paths[path] = true
	}
	return h
}

// ServeHTTP completes an authorization and shows its outcome.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	outcome, session := h.handle(w, r)
	h.served(string(outcome))
	writePage(w, outcome, session)
}

// handle returns the outcome of a request, and the session that it is about.
func (h *Handler) handle(w http.ResponseWriter, r *http.Request) (outcome, sessionRef) {
	switch {
	case !h.paths[r.URL.Path]:
		return absent, sessionRef{}
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		return wrongMethod, sessionRef{}
	}
	a, wrong := h.parseRequest(r)
	if wrong == "" {
		wrong = h.handleCallback(r.Context(), a)
	}
	return wrong, sessionRef(a.session)
}

// Timeouts of the steps that are finished even if the browser disconnects or the process is
// stopping. Their sum is well below [grant.SpendingTime], after which other replicas replace the
// attempt.
const (
	// exchangeTimeout is for all steps up to the server's answer.
	exchangeTimeout = 20 * time.Second
	// storeTimeout is for storing the grant in the API server, with retries; storeAttemptTimeout is
	// for one try.
	storeTimeout        = 10 * time.Second
	storeAttemptTimeout = 3 * time.Second
	// storeRetryInterval is the pause between two tries.
	storeRetryInterval = 250 * time.Millisecond
	// revokeTimeout is for revoking a grant that cannot be stored.
	revokeTimeout = 5 * time.Second
)

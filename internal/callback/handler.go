// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"net/http"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
)

// Options are what a Handler works with. All fields but Paths are needed.
type Options struct {
	// Objects reads sessions and deployments by name, from a cache.
	Objects client.Reader
	// Grants has the documents of all sessions.
	Grants *grant.Store
	// Pool has the way to each deployment. It may be this process's only use of it.
	Pool *connection.Pool
	// Paths are served besides [grant.CallbackPath]: that of the public callback URL.
	Paths []string
	// Clock is the operator's.
	Clock clock.PassiveClock
}

// Handler serves the redirect URIs of all sessions. Make it with [New]. It is safe for concurrent use.
//
// It answers every request with a page. Its log messages, to the logger of the request's context, are constant and name
// sessions; neither they nor a page have anything of the query in them, except the session's name.
type Handler struct {
	objects client.Reader
	grants  *grant.Store
	pool    *connection.Pool
	paths   map[string]bool
	clock   clock.PassiveClock
	limit   *rate.Limiter
	storing time.Duration
}

// What a process takes from all browsers together: every callback of a session that exists costs requests to the API server.
// People who consent come one by one.
const (
	perSecond = 5
	burst     = 20
)

// New returns a Handler.
func New(o Options) *Handler {
	h := &Handler{
		objects: o.Objects, grants: o.Grants, pool: o.Pool, clock: o.Clock,
		paths: map[string]bool{grant.CallbackPath: true}, limit: rate.NewLimiter(perSecond, burst),
		storing: storing,
	}
	for _, path := range o.Paths {
		h.paths[path] = true
	}
	return h
}

// ServeHTTP completes an authorization and shows how it went.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !h.paths[r.URL.Path]:
		show(w, absent, sessionRef{})
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		show(w, wrongMethod, sessionRef{})
	default:
		a, wrong := arrivalOf(r)
		if wrong == "" {
			wrong = h.complete(r.Context(), a)
		}
		show(w, wrong, sessionRef(a.session))
	}
}

// Bounds of what is finished whatever happens to the browser or the process. Together they are well below
// [grant.SpendingTime], after which others take over.
const (
	// exchanging is for all up to the server's answer.
	exchanging = 20 * time.Second
	// storing is for the API server to take the grant; one request of it may take storingOnce.
	storing     = 10 * time.Second
	storingOnce = 3 * time.Second
	// storingAgain is the pause between two tries.
	storingAgain = 250 * time.Millisecond
	// discarding is for the server to take back what cannot be stored.
	discarding = 5 * time.Second
)

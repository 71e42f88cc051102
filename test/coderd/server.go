// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Server is a simulated Coder server. It serves HTTP by itself, or on a port by Start.
type Server struct {
	mux    *http.ServeMux
	log    *requestLog
	faults *faultSet

	mu           sync.Mutex
	opts         Options
	offset       time.Duration
	store        *store
	limiter      *rateLimiter
	workspaces   *workspaceStore
	edgeSessions map[string]string // user id -> key id of the session that the edge holds for the user
}

// New makes a server without users. It panics if Options.Random cannot be read.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	if opts.DeploymentID == "" {
		opts.DeploymentID = mustUUID(opts)
	}
	s := &Server{
		log:          newRequestLog(opts.RequestLogSize),
		faults:       newFaultSet(),
		opts:         opts,
		store:        newStore(),
		limiter:      newRateLimiter(),
		workspaces:   newWorkspaceStore(),
		edgeSessions: map[string]string{},
	}
	s.mux = s.newMux()
	return s
}

func mustUUID(opts Options) string {
	id, err := uuid.NewRandomFromReader(opts.Random)
	if err != nil {
		panic(fmt.Sprintf("coderd: drawing a UUID: %v", err))
	}
	return id.String()
}

// Reconfigure changes the options of a running server, for instance its profile or limits. Clock,
// Random and RequestLogSize keep the values that New was given. change must not call the server.
func (s *Server) Reconfigure(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.opts
	next.Experiments = slices.Clone(next.Experiments)
	change(&next)
	next.Clock, next.Random, next.RequestLogSize = s.opts.Clock, s.opts.Random, s.opts.RequestLogSize
	if next.DeploymentID == "" {
		next.DeploymentID = s.opts.DeploymentID
	}
	s.opts = next.withDefaults()
}

// DeploymentID is the server's stable identity, as in buildinfo.
func (s *Server) DeploymentID() string { return s.currentOptions().DeploymentID }

// Now is the server's time: its clock and the offset.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// SetClockOffset puts the server's clock ahead of (or, negative, behind) the clock that New was
// given: expiry, timestamps, the Date header and the check of client certificates all follow it.
func (s *Server) SetClockOffset(offset time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = offset
}

// ClockOffset returns what SetClockOffset has set.
func (s *Server) ClockOffset() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offset
}

// now is the server's time. The mutex must be held.
func (s *Server) now() time.Time { return s.opts.Clock.Now().Add(s.offset).UTC().Truncate(timeGrain) }

func (s *Server) currentOptions() Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opts
}

type exchangeContextKey struct{}

// exchange is the state that the stages of one request share.
type exchange struct {
	entry    Request // grows into the log entry
	listener *Listener
	edgeUser string // username that the edge has identified; "" is none
	// trouble, if not empty, makes the roles lookup of this request fail with this detail (A.5, last
	// row).
	trouble string
	logged  bool // a stream is logged when it opens
}

func exchangeOf(r *http.Request) *exchange {
	return r.Context().Value(exchangeContextKey{}).(*exchange)
}

// ServeHTTP answers one request and logs it, even if the connection is cut.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	normalizePath(r.URL)
	ex := &exchange{entry: newLogEntry(s.Now(), r), listener: listenerOf(r)}
	ex.entry.Route = s.routeOf(r)
	out := &answerWriter{ResponseWriter: w, server: s}
	defer func() {
		s.logNow(ex, out.status)
	}()
	r = r.WithContext(context.WithValue(r.Context(), exchangeContextKey{}, ex))
	s.serveFaulty(out, r, func(w http.ResponseWriter, r *http.Request) {
		if ex.listener != nil && !ex.listener.admitRequest(w, r) {
			return
		}
		w.Header().Set("X-Coder-Build-Version", s.currentOptions().buildVersion())
		s.touchCredential(r)
		s.mux.ServeHTTP(w, r)
	})
}

// repeatedSlashes are tolerated in paths (A.1).
var repeatedSlashes = regexp.MustCompile(`/{2,}`)

// normalizePath drops repeated slashes and, below /api, trailing ones: they make no difference (A.1).
// Elements "." and ".." are names like others, which http.ServeMux would redirect unless they are
// encoded.
func normalizePath(u *url.URL) {
	path := repeatedSlashes.ReplaceAllString(u.EscapedPath(), "/")
	if strings.HasPrefix(path, apiRoot) && path != apiRoot {
		path = strings.TrimRight(path, "/")
	}
	elements := strings.Split(path, "/")
	for i, element := range elements {
		if element == "." || element == ".." {
			elements[i] = strings.ReplaceAll(element, ".", "%2E")
		}
	}
	path = strings.Join(elements, "/")
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = plain, path
	}
}

// logNow logs a request once.
func (s *Server) logNow(ex *exchange, status int) {
	if ex.logged {
		return
	}
	ex.logged, ex.entry.Status = true, status
	s.log.addEntry(ex.entry)
}

// answerWriter records the status and sets the Date of every answer to the server's own time, by
// which clients measure their clock skew (G.27).
type answerWriter struct {
	http.ResponseWriter
	server *Server
	status int
}

func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.Header().Set("Date", w.server.Now().Format(http.TimeFormat))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Errors of the administration methods.
var (
	// ErrUserNotFound: no user has that id, username or e-mail.
	ErrUserNotFound = errors.New("user not found")
	// ErrKeyNotFound: no key has that id.
	ErrKeyNotFound = errors.New("key not found")
	// ErrConflict: the username, e-mail or token name is taken.
	ErrConflict = errors.New("already taken")
	// ErrInvalid: an argument breaks a rule of the contract.
	ErrInvalid = errors.New("invalid argument")
)

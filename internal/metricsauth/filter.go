// SPDX-License-Identifier: Apache-2.0

package metricsauth

import (
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// maxTokenBytes limits the length of a token. Those of service accounts have about 1 KiB.
const maxTokenBytes = 64 << 10

// FilterProvider returns the FilterProvider of controller-runtime's metrics server. The clock tells how long an
// answer is remembered. The filter is safe for concurrent use. It needs the right to create TokenReviews and
// SubjectAccessReviews.
func FilterProvider(c clock.PassiveClock) func(*rest.Config, *http.Client) (server.Filter, error) {
	return func(config *rest.Config, httpClient *http.Client) (server.Filter, error) {
		reviews, err := newReviewer(config, httpClient, c)
		if err != nil {
			return nil, err
		}
		return func(log logr.Logger, next http.Handler) (http.Handler, error) {
			return &handler{reviews, log, next}, nil
		}, nil
	}
}

// handler passes the requests of users who are allowed to on to next.
type handler struct {
	reviews *reviewer
	log     logr.Logger
	next    http.Handler
}

// ServeHTTP authenticates and authorizes a request.
func (h *handler) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	token := bearerToken(request.Header)
	if token.IsZero() {
		refuseToken(w)
		return
	}
	known := redact.NewKnown(token)
	user, err := h.reviews.authenticate(request.Context(), token)
	if err != nil {
		h.log.Info("the API server was not asked who reads the metrics", "problem", known.Text(err.Error()))
		http.Error(w, "Authentication failed", http.StatusInternalServerError)
		return
	}
	if !user.known {
		h.log.V(1).Info("a token was refused", "problem", known.Text(user.problem))
		refuseToken(w)
		return
	}
	// What comes after this has no use for the token.
	request.Header.Del("Authorization")
	verb := strings.ToLower(request.Method)
	allowed, err := h.reviews.authorize(request.Context(), user.info, request.URL.Path, verb)
	switch {
	case err != nil:
		h.log.Info("the API server was not asked whether a user may read the metrics", "user", user.info.Username,
			"problem", known.Text(err.Error()))
		http.Error(w, "Authorization failed", http.StatusInternalServerError)
	case !allowed:
		h.log.V(1).Info("a user was refused", "user", user.info.Username, "verb", verb)
		http.Error(w, "Authorization denied for user "+user.info.Username, http.StatusForbidden)
	default:
		h.next.ServeHTTP(w, request)
	}
}

// refuseToken asks for another token (RFC 6750, section 3).
func refuseToken(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(w, "Unauthorized", http.StatusUnauthorized)
}

// bearerToken returns the token of a request (RFC 6750, section 2.1), or the zero Secret if there is none or it is
// malformed.
func bearerToken(header http.Header) redact.Secret {
	scheme, token, _ := strings.Cut(strings.TrimSpace(header.Get("Authorization")), " ")
	valid := token != "" && len(token) <= maxTokenBytes && !strings.ContainsAny(token, " \t")
	if !valid || !strings.EqualFold(scheme, "Bearer") {
		return redact.Secret{}
	}
	return redact.New(token)
}

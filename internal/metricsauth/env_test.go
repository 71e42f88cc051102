// SPDX-License-Identifier: Apache-2.0

package metricsauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	testingclock "k8s.io/utils/clock/testing"
)

// Tokens that the API server of the tests knows.
const (
	allowedToken = "token-of-prometheus"
	deniedToken  = "token-of-a-passer-by"
)

// start is the time at which every test begins.
var start = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// env has a metrics endpoint with the filter, and an API server that answers reviews.
type env struct {
	t     *testing.T
	clock *testingclock.FakePassiveClock
	// endpoint is what the filter lets read.
	endpoint http.Handler

	mu sync.Mutex
	// users are answers to TokenReviews, by token.
	users map[string]authenticationv1.TokenReviewStatus
	// decisions are answers to SubjectAccessReviews, by user.
	decisions map[string]authorizationv1.SubjectAccessReviewStatus
	// refuse is an HTTP status with which a kind of review is refused, by the last part of its URL.
	refuse map[string]int
	// tokenReviews and accessReviews have been asked.
	tokenReviews  []authenticationv1.TokenReviewSpec
	accessReviews []authorizationv1.SubjectAccessReviewSpec
	// seen are requests that came through the filter.
	seen []*http.Request
	log  strings.Builder
}

func newEnv(t *testing.T) *env {
	t.Helper()
	e := &env{
		t:     t,
		clock: testingclock.NewFakePassiveClock(start),
		users: map[string]authenticationv1.TokenReviewStatus{
			allowedToken: {Authenticated: true, User: authenticationv1.UserInfo{Username: "prometheus"}},
			deniedToken:  {Authenticated: true, User: authenticationv1.UserInfo{Username: "passer-by"}},
		},
		decisions: map[string]authorizationv1.SubjectAccessReviewStatus{"prometheus": {Allowed: true}},
		refuse:    map[string]int{},
	}
	server := httptest.NewTLSServer(http.HandlerFunc(e.serveReview))
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL, QPS: -1}
	config.ContentType = runtime.ContentTypeJSON
	e.protect(config, server.Client())
	return e
}

// protect makes the endpoint, whose filter asks the API server of a configuration.
func (e *env) protect(config *rest.Config, httpClient *http.Client) {
	e.t.Helper()
	filter, err := FilterProvider(e.clock)(config, httpClient)
	if err != nil {
		e.t.Fatal(err)
	}
	e.endpoint, err = filter(e.logger(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.seen = append(e.seen, r)
		_, _ = fmt.Fprint(w, "metrics")
	}))
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) logger() logr.Logger {
	return funcr.New(func(prefix, args string) { e.log.WriteString(prefix + args + "\n") }, funcr.Options{Verbosity: 10})
}

// serveReview answers as the API server does. It repeats the question, with the token.
func (e *env) serveReview(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if status := e.refuse[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]; status != 0 {
		w.WriteHeader(status)
		return
	}
	var answer any
	switch r.Method + " " + r.URL.Path {
	case "POST /apis/authentication.k8s.io/v1/tokenreviews":
		review := &authenticationv1.TokenReview{}
		e.decode(r, review)
		e.tokenReviews = append(e.tokenReviews, review.Spec)
		review.Status = e.users[review.Spec.Token]
		answer = review
	case "POST /apis/authorization.k8s.io/v1/subjectaccessreviews":
		review := &authorizationv1.SubjectAccessReview{}
		e.decode(r, review)
		e.accessReviews = append(e.accessReviews, review.Spec)
		review.Status = e.decisions[review.Spec.User]
		answer = review
	default:
		e.t.Errorf("the API server was asked for %s %s", r.Method, r.URL.Path)
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		e.t.Error(err)
	}
}

func (e *env) decode(r *http.Request, into any) {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		e.t.Error(err)
	}
}

// get reads the metrics with the header fields Authorization.
func (e *env) get(authorization ...string) *httptest.ResponseRecorder {
	e.t.Helper()
	return e.send(http.MethodGet, "/metrics", authorization...)
}

func (e *env) send(method, path string, authorization ...string) *httptest.ResponseRecorder {
	e.t.Helper()
	request := httptest.NewRequestWithContext(e.t.Context(), method, path, http.NoBody)
	request.Header["Authorization"] = authorization
	answer := httptest.NewRecorder()
	e.endpoint.ServeHTTP(answer, request)
	return answer
}

// want compares an answer's status.
func (e *env) want(answer *httptest.ResponseRecorder, status int) {
	e.t.Helper()
	if answer.Code != status {
		e.t.Errorf("status %d, want %d: %s", answer.Code, status, answer.Body)
	}
	if passed := answer.Body.String() == "metrics"; passed != (status == http.StatusOK) {
		e.t.Errorf("status %d with the body %q", status, answer.Body)
	}
}

// wantAsked compares the numbers of reviews that were sent since the last call.
func (e *env) wantAsked(tokenReviews, accessReviews int) {
	e.t.Helper()
	if got := []int{len(e.tokenReviews), len(e.accessReviews)}; !slices.Equal(got, []int{tokenReviews, accessReviews}) {
		e.t.Errorf("%v TokenReviews and SubjectAccessReviews, want %d and %d", got, tokenReviews, accessReviews)
	}
	e.tokenReviews, e.accessReviews = nil, nil
}

func (e *env) pass(d time.Duration) { e.clock.SetTime(e.clock.Now().Add(d)) }

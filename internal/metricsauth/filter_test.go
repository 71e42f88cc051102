// SPDX-License-Identifier: Apache-2.0

package metricsauth

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
)

// Without a token that can be one, the API server is not asked.
func TestARequestWithoutAToken(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]string{
		"no header":             nil,
		"an empty header":       {""},
		"another scheme":        {"Basic " + allowedToken},
		"no scheme":             {allowedToken},
		"no token":              {"Bearer"},
		"an empty token":        {"Bearer "},
		"two spaces":            {"Bearer  " + allowedToken},
		"two words":             {"Bearer " + allowedToken + " " + allowedToken},
		"a list":                {"Bearer " + allowedToken + ", Basic x"},
		"too long a token":      {"Bearer " + strings.Repeat("x", maxTokenBytes+1)},
		"a second header field": {"Basic x", "Bearer " + allowedToken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			answer := e.get(headers...)
			e.want(answer, http.StatusUnauthorized)
			if got := answer.Header().Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("WWW-Authenticate: %q", got)
			}
			e.wantAsked(0, 0)
		})
	}
}

// A refused token is asked about each time: what is remembered of others is not displaced by tokens that are made up.
func TestARefusedToken(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.want(e.get("Bearer "+allowedToken), http.StatusOK)
	e.wantAsked(1, 1)
	for i := range 2 * maxAnswers {
		answer := e.get("Bearer made-up-" + strconv.Itoa(i))
		e.want(answer, http.StatusUnauthorized)
		if answer.Header().Get("WWW-Authenticate") == "" {
			t.Fatal("no challenge")
		}
	}
	e.wantAsked(2*maxAnswers, 0)
	e.want(e.get("Bearer "+allowedToken), http.StatusOK)
	e.wantAsked(0, 0)
}

// All that the API server says of a user is asked about, with the path and the verb.
func TestWhatIsAsked(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.users[allowedToken] = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{
		Username: "prometheus", UID: "7", Groups: []string{"scrapers", "system:authenticated"},
		Extra: map[string]authenticationv1.ExtraValue{"example.com/pod": {"prometheus-0", "prometheus-1"}},
	}}
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		e.want(e.send(http.MethodPost, "/metrics?name=a", scheme+" "+allowedToken), http.StatusOK)
	}
	tokens := []authenticationv1.TokenReviewSpec{{Token: allowedToken}}
	access := []authorizationv1.SubjectAccessReviewSpec{{
		User: "prometheus", UID: "7", Groups: []string{"scrapers", "system:authenticated"},
		Extra:                 map[string]authorizationv1.ExtraValue{"example.com/pod": {"prometheus-0", "prometheus-1"}},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "post"},
	}}
	if diff := cmp.Diff(tokens, e.tokenReviews) + cmp.Diff(access, e.accessReviews); diff != "" {
		t.Error(diff)
	}
	for _, request := range e.seen {
		if len(request.Header.Values("Authorization")) > 0 {
			t.Error("the token was passed on")
		}
	}
}

// A denied user is told who they are, and asks again after half a minute.
func TestADeniedUser(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]authorizationv1.SubjectAccessReviewStatus{
		"no opinion":       {Reason: "no rule"},
		"denied":           {Denied: true},
		"allowed and more": {Allowed: true, Denied: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			e.decisions["passer-by"] = status
			answer := e.get("Bearer " + deniedToken)
			e.want(answer, http.StatusForbidden)
			if got := answer.Body.String(); !strings.Contains(got, "passer-by") {
				t.Errorf("the answer is %q", got)
			}
			e.wantAsked(1, 1)
			e.decisions["passer-by"] = authorizationv1.SubjectAccessReviewStatus{Allowed: true}
			e.pass(deniedTTL)
			e.want(e.get("Bearer "+deniedToken), http.StatusForbidden)
			e.wantAsked(0, 0)
			e.pass(time.Second)
			e.want(e.get("Bearer "+deniedToken), http.StatusOK)
			e.wantAsked(0, 1)
		})
	}
}

// Whose a token is is remembered for a minute, and what a user may do for five. Each path and verb is a question of
// its own.
func TestAnAllowedUser(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.want(e.get("Bearer "+allowedToken), http.StatusOK)
	e.wantAsked(1, 1)
	e.pass(userTTL)
	e.want(e.get("Bearer "+allowedToken), http.StatusOK)
	e.wantAsked(0, 0)
	e.want(e.send(http.MethodGet, "/other", "Bearer "+allowedToken), http.StatusOK)
	e.want(e.send(http.MethodPut, "/metrics", "Bearer "+allowedToken), http.StatusOK)
	e.wantAsked(0, 2)
	e.pass(time.Second)
	e.want(e.get("Bearer "+allowedToken), http.StatusOK)
	e.wantAsked(1, 0)
	e.decisions["prometheus"] = authorizationv1.SubjectAccessReviewStatus{}
	e.pass(allowedTTL - userTTL - time.Second)
	e.want(e.get("Bearer "+allowedToken), http.StatusOK)
	e.wantAsked(1, 0)
	e.pass(time.Second)
	e.want(e.get("Bearer "+allowedToken), http.StatusForbidden)
	e.wantAsked(0, 1)
	delete(e.users, allowedToken)
	e.pass(userTTL)
	e.want(e.get("Bearer "+allowedToken), http.StatusUnauthorized)
	e.wantAsked(1, 0)
}

// Answers of different users are told apart, also where they have the same name.
func TestUsersOfOneName(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.users["as-admin"] = authenticationv1.TokenReviewStatus{Authenticated: true,
		User: authenticationv1.UserInfo{Username: "prometheus", Groups: []string{"admins"}}}
	e.want(e.get("Bearer as-admin"), http.StatusOK)
	e.decisions["prometheus"] = authorizationv1.SubjectAccessReviewStatus{}
	e.want(e.get("Bearer "+allowedToken), http.StatusForbidden)
	e.want(e.get("Bearer as-admin"), http.StatusOK)
	e.wantAsked(2, 2)
}

// A limited number of answers is remembered.
func TestTheNumberOfAnswers(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for i := range maxAnswers + 1 {
		name := strconv.Itoa(i)
		e.users["token-"+name] = authenticationv1.TokenReviewStatus{Authenticated: true,
			User: authenticationv1.UserInfo{Username: name}}
		e.decisions[name] = authorizationv1.SubjectAccessReviewStatus{Allowed: true}
		e.want(e.get("Bearer token-"+name), http.StatusOK)
	}
	e.wantAsked(maxAnswers+1, maxAnswers+1)
	e.want(e.get("Bearer token-"+strconv.Itoa(maxAnswers)), http.StatusOK)
	e.wantAsked(0, 0)
	e.want(e.get("Bearer token-0"), http.StatusOK)
	e.wantAsked(1, 1)
}

// A request is refused as long as the API server does not answer, and the failure is not remembered.
func TestTheAPIServerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, review := range []string{"tokenreviews", "subjectaccessreviews"} {
		for _, status := range []int{http.StatusInternalServerError, http.StatusForbidden} {
			t.Run(review+" "+strconv.Itoa(status), func(t *testing.T) {
				t.Parallel()
				e := newEnv(t)
				e.refuse[review] = status
				e.want(e.get("Bearer "+allowedToken), http.StatusInternalServerError)
				if !strings.Contains(e.log.String(), "was not asked") {
					t.Errorf("the log says %q", e.log.String())
				}
				delete(e.refuse, review)
				e.want(e.get("Bearer "+allowedToken), http.StatusOK)
			})
		}
	}
	t.Run("unreachable", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t)
		e.protect(&rest.Config{Host: "https://127.0.0.1:1"}, http.DefaultClient)
		e.want(e.get("Bearer "+allowedToken), http.StatusInternalServerError)
	})
}

// No token gets into a log or an answer, not even where the API server repeats it.
func TestTokensAreNotShown(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.users["expired-token"] = authenticationv1.TokenReviewStatus{Error: "expired-token has expired"}
	answers := e.get("Bearer expired-token").Body.String() + e.get("Bearer "+deniedToken).Body.String()
	e.protect(&rest.Config{Host: "https://127.0.0.1:1"}, &http.Client{Transport: echo{}})
	answers += e.get("Bearer " + allowedToken).Body.String()
	if got := strings.Count(e.log.String(), "\n"); got != 3 {
		t.Errorf("%d lines of a log, want 3:\n%s", got, e.log.String())
	}
	for _, fragment := range []string{"has expired", "passer-by", "is unheard of"} {
		if !strings.Contains(e.log.String(), fragment) {
			t.Errorf("the log does not say %q", fragment)
		}
	}
	for _, token := range []string{"expired-token", deniedToken, allowedToken} {
		if strings.Contains(e.log.String(), token) || strings.Contains(answers, token) {
			t.Errorf("%s is shown:\n%s%s", token, e.log.String(), answers)
		}
	}
}

// echo fails with an error that repeats the token.
type echo struct{}

func (echo) RoundTrip(*http.Request) (*http.Response, error) { return nil, echoError{} }

type echoError struct{}

func (echoError) Error() string { return allowedToken + " is unheard of" }

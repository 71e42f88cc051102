// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/conformance"
)

// remains is what a run left on a server: live users, clients, and keys of a caller.
func (s *server) remains(t *testing.T, caller string) []string {
	t.Helper()
	var out []string
	for _, u := range s.Users() {
		if strings.HasPrefix(u.Username, "conformance-") && !u.Deleted {
			out = append(out, "user "+u.Username)
		}
	}
	for _, app := range s.OAuthApps() {
		out = append(out, "client "+app.Name)
	}
	for _, ws := range s.Workspaces() {
		if !ws.Deleted {
			out = append(out, "workspace "+ws.Name)
		}
	}
	if keys := s.Keys(coderd.KeyFilter{User: caller}); len(keys) != 1 {
		out = append(out, "keys of "+caller)
	}
	return out
}

func openServer(t *testing.T, profile conformance.Profile) *server {
	t.Helper()
	return startServer(t, coderd.Options{Profile: coderd.Profile(profile), DynamicRegistration: true}, true)
}

// TestNothingIsLeftBehind also ends runs in the middle, as an interrupt does.
func TestNothingIsLeftBehind(t *testing.T) { // B129
	t.Parallel()
	for name, last := range map[string]string{
		"to the end": "", "at once": "a1-duration-float", "among the keys": "b5-get-live",
		"among the grants": "c8-revoke-access", "with workspaces": "d-workspace-by-name",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openServer(t, conformance.ProfileMid)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := s.options()
			o.Progress = func(question string) {
				if question == last {
					cancel()
				}
			}
			report, err := conformance.Run(ctx, o)
			if (last == "") != (err == nil) || last != "" && !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if report == nil || len(report.Leftovers) > 0 {
				t.Errorf("report %+v", report)
			}
			if remains := s.remains(t, "root"); len(remains) > 0 {
				t.Errorf("left behind: %v", remains)
			}
		})
	}
}

func TestCleanUpRemovesWhatAKilledRunLeft(t *testing.T) { // B129
	t.Parallel()
	s := openServer(t, conformance.ProfileNew)
	o := s.options()
	// From some question on nothing can be removed, as if the process had been killed.
	killed := false
	o.HTTPClient = &http.Client{Transport: transport(func(req *http.Request) (*http.Response, error) {
		if killed {
			return nil, errors.New("killed")
		}
		return http.DefaultTransport.RoundTrip(req)
	})}
	o.Progress = func(question string) { killed = killed || question == "d-workspace-by-name" }
	report, err := conformance.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Passed() || len(s.remains(t, "root")) == 0 || len(report.Leftovers) == 0 {
		t.Fatalf("nothing was left behind: %v", report.Leftovers)
	}
	if _, err := s.CreateUser(coderd.UserOptions{Username: "conformance-ada"}); err != nil {
		t.Fatal(err)
	}
	removed, err := conformance.CleanUp(t.Context(), s.options())
	if err != nil || len(removed) == 0 {
		t.Errorf("removed %v, error %v", removed, err)
	}
	if remains := s.remains(t, "root"); len(remains) != 1 || remains[0] != "user conformance-ada" {
		t.Errorf("left behind: %v, and that user has no name of a run", remains)
	}
	o = s.options()
	o.Token = s.newCaller(t, "bea")
	if _, err := conformance.CleanUp(t.Context(), o); err == nil {
		t.Error("a member may clean up")
	}
}

// transport is a function as http.RoundTripper.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestLessIsAskedWithoutAnOwner also holds that a member's tokens are removed one by one.
func TestLessIsAskedWithoutAnOwner(t *testing.T) { // B129
	t.Parallel()
	for _, profile := range conformance.Profiles {
		for name, tc := range map[string]struct {
			token func(*server) string
			least int
			note  string
		}{
			"member":     {func(s *server) string { return s.newCaller(t, "bea") }, 100, `"bea" is no owner`},
			"no token":   {func(*server) string { return "" }, 20, "No token"},
			"user admin": {func(s *server) string { return s.newCaller(t, "bea", coderd.RoleUserAdmin) }, 100, "no owner"},
			"scoped token": {func(s *server) string {
				s.newCaller(t, "bea")
				token, key, err := s.CreateToken(coderd.TokenOptions{User: "bea", Scopes: []string{"workspace:read"}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.RevokeKey(key.ID) })
				return token
			}, 20, "do not show whose it is"},
		} {
			t.Run(string(profile)+", "+name, func(t *testing.T) {
				t.Parallel()
				s := openServer(t, profile)
				o := s.options()
				o.Token = tc.token(s)
				if name == "no token" || name == "scoped token" {
					o.Template = ""
				}
				report := runSuite(t, o)
				same, different, skipped := report.Count()
				if same < tc.least || different > 0 || skipped < 100 {
					t.Errorf("%d as expected, %d differently, %d not asked", same, different, skipped)
				}
				var text bytes.Buffer
				if err := report.Write(&text); err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{tc.note, "needs the right of an owner"} {
					if !strings.Contains(text.String(), want) {
						t.Errorf("%q is missing in\n%s", want, text.String())
					}
				}
				if different > 0 {
					t.Log(text.String())
				}
				if remains := s.remains(t, "root"); len(remains) > 0 {
					t.Errorf("left behind: %v", remains)
				}
				if keys := s.Keys(coderd.KeyFilter{User: "bea"}); len(keys) > 2 {
					t.Errorf("%d keys of the caller", len(keys))
				}
			})
		}
	}
}

// tamper is a proxy in front of a server that changes answers.
func tamper(t *testing.T, s *server, change func(*http.Response)) string {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(res *http.Response) error { change(res); return nil },
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	return front.URL
}

func TestWhatAServerAnswersOtherwiseIsFound(t *testing.T) { // B129
	t.Parallel()
	for name, tc := range map[string]struct {
		change   func(*http.Response)
		question string
		want     string
	}{
		"status": {func(res *http.Response) {
			if res.Request.URL.Path == "/api/v2/nope" {
				res.StatusCode = http.StatusForbidden
			}
		}, "a1-unknown-api-route", "status 403 instead of 404"},
		"challenge": {func(res *http.Response) { res.Header.Del("WWW-Authenticate") },
			"a5-expired", "header Www-Authenticate is missing"},
		"text": {func(res *http.Response) { replaceBody(res, "API key expired", "key is old") },
			"a5-expired", `detail does not say "API key expired"`},
		"field": {func(res *http.Response) { replaceBody(res, `"expires_at"`, `"ends"`) },
			"b5-get-live", "expires_at is missing"},
		"error code": {func(res *http.Response) { replaceBody(res, "invalid_grant", "invalid_request") },
			"c7-bad-code", `error is "invalid_request"`},
		"type": {func(res *http.Response) { replaceBody(res, `"count":`, `"count":"x","n":`) },
			"b2-users-limit1", "count is a text"},
		"location": {func(res *http.Response) {
			res.Header.Set("Location", strings.Replace(res.Header.Get("Location"), "state=", "s=", 1))
		}, "c6-post-ok", "header Location is"},
		"text of an unknown route": {func(res *http.Response) { replaceBody(res, "Route not found", "No such thing") },
			"a1-unknown-api-route", "does not say"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openServer(t, conformance.ProfileMid)
			o := s.options()
			o.URL, o.Template, o.Only = tamper(t, s, tc.change), "", tc.question
			report, err := conformance.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if report.Passed() {
				t.Error("nothing differs")
			}
			var text bytes.Buffer
			if err := report.Write(&text); err != nil {
				t.Fatal(err)
			}
			for _, result := range report.Results {
				if result.Question.Name == tc.question && !strings.Contains(strings.Join(result.Differences, "; "), tc.want) {
					t.Errorf("differences %q, want %q", result.Differences, tc.want)
				}
			}
			if !strings.Contains(text.String(), tc.question) || !strings.Contains(text.String(), tc.want) {
				t.Errorf("%q of %s is not in\n%s", tc.want, tc.question, text.String())
			}
			if strings.Contains(text.String(), s.token) {
				t.Error("the token is printed")
			}
		})
	}
}

func replaceBody(res *http.Response, from, to string) {
	if !strings.Contains(res.Header.Get("Content-Type"), "json") {
		return
	}
	var body bytes.Buffer
	_, _ = body.ReadFrom(res.Body)
	_ = res.Body.Close()
	text := strings.ReplaceAll(body.String(), from, to)
	res.Body = readCloser{strings.NewReader(text)}
	res.ContentLength = int64(len(text))
	res.Header.Del("Content-Length")
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// TestAServerThatAnswersAsAnotherProfile is how a user learns before an upgrade what changes.
func TestAServerThatAnswersAsAnotherProfile(t *testing.T) { // B129
	t.Parallel()
	s := openServer(t, conformance.ProfileMid)
	o := s.options()
	o.Profile = conformance.ProfileR30
	report := runSuite(t, o)
	var text bytes.Buffer
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a6-unknown-name-owner", "status 404 instead of 400", "as servers of the profile MID answer",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
}

// TestWhatWasNotRecordedIsMarked: of servers since 2.38 the contract says what is expected.
func TestWhatWasNotRecordedIsMarked(t *testing.T) { // B129
	t.Parallel()
	s := openServer(t, conformance.ProfileMid)
	o := s.options()
	o.Profile, o.Only = conformance.ProfileNew, "c7-refresh-wrong-secret"
	var text bytes.Buffer
	if err := runSuite(t, o).Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"status 200 instead of 401", "expected by the contract", "as servers of the profile R30 answer",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
}

func TestServersThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	s := openServer(t, conformance.ProfileMid)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for name, o := range map[string]conformance.Options{
		"no URL":        {URL: "coder.example.com"},
		"no Coder":      {URL: other.URL},
		"dead token":    {URL: s.url, Token: "zzzzzzzzzz-" + strings.Repeat("x", 22)},
		"bad profile":   {URL: s.url, Token: s.token, Profile: "OLD"},
		"no template":   {URL: s.url, Token: s.token, Template: "absent"},
		"unreachable":   {URL: "http://127.0.0.1:1"},
		"token, no URL": {Token: s.token},
	} {
		report, err := conformance.Run(t.Context(), o)
		if err == nil || report != nil {
			t.Errorf("%s: report %v, error %v", name, report, err)
		}
		if err != nil && o.Token != "" && strings.Contains(err.Error(), o.Token) {
			t.Errorf("%s: the token is in the error", name)
		}
	}
}

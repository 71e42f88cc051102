// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/oauth2"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

var ignoreCause = cmpopts.IgnoreUnexported(oauth.Error{})

func protocolError(code, description string) string {
	return `{"error":"` + code + `","error_description":"` + description + `","error_uri":"https://coder.example.test/e"}`
}

// trouble is said instead of what the server says about its own trouble (B123).
const trouble = "internal error of the server"

func TestRefusals(t *testing.T) { // contract A.2, A.7, C.7
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		want    oauth.Error
		cause   coder.Kind
	}{
		"invalid_grant": {respondWith(400, protocolError("invalid_grant", "used\\ntwice")),
			oauth.Error{Kind: oauth.InvalidGrant, Code: "invalid_grant", Description: "used twice"}, ""}, // B68
		// B68
		"invalid_client": {respondWith(401, protocolError("invalid_client", "")),
			oauth.Error{Kind: oauth.InvalidClient, Code: "invalid_client"}, ""},
		"invalid_scope": {respondWith(400, protocolError("invalid_scope", "x")),
			oauth.Error{Kind: oauth.InvalidScope, Code: "invalid_scope", Description: "x"}, ""},
		"invalid_request": {respondWith(400, protocolError("invalid_request", "x")),
			oauth.Error{Kind: oauth.InvalidRequest, Code: "invalid_request", Description: "x"}, ""},
		"invalid_target": {respondWith(400, protocolError("invalid_target", "x")),
			oauth.Error{Kind: oauth.InvalidRequest, Code: "invalid_target", Description: "x"}, ""},
		"unsupported_grant_type": {respondWith(400, protocolError("unsupported_grant_type", "x")),
			oauth.Error{Kind: oauth.InvalidRequest, Code: "unsupported_grant_type", Description: "x"}, ""},
		"a body too large": {respondWith(413, protocolError("invalid_request", "1 MiB")),
			oauth.Error{Kind: oauth.InvalidRequest, Code: "invalid_request", Description: "1 MiB"}, ""},
		"a body too large for Coder": {respondWith(413, `{"message":"too large"}`),
			oauth.Error{Kind: oauth.InvalidRequest, Description: "too large"}, coder.Invalid},
		"overload": {respondWith(429, protocolError("temporarily_unavailable", "slow"), "Retry-After: 60"),
			oauth.Error{Kind: oauth.Unavailable, Code: "temporarily_unavailable", Description: "slow",
				RetryAfter: time.Minute}, coder.RateLimited},
		"overload in Coder's shape": {respondWith(429, `{"message":"slow"}`, "Retry-After: 7"),
			oauth.Error{Kind: oauth.Unavailable, Description: "slow", RetryAfter: 7 * time.Second}, coder.RateLimited},
		"overload under another name": {respondWith(429, protocolError("invalid_grant", "")),
			oauth.Error{Kind: oauth.Unavailable, Code: "invalid_grant", RetryAfter: time.Minute}, coder.RateLimited},
		"an internal failure": {respondWith(500, protocolError("server_error", "x")),
			oauth.Error{Kind: oauth.Unavailable, Code: "server_error", Description: trouble}, coder.Unavailable},
		"an internal failure in Coder's shape": {respondWith(500, `{"message":"internal","detail":"db"}`), // B123
			oauth.Error{Kind: oauth.Unavailable, Description: "internal"}, coder.Unavailable},
		"an internal failure with another status": {respondWith(400, protocolError("server_error", "x")),
			oauth.Error{Kind: oauth.Unavailable, Code: "server_error", Description: trouble}, coder.Unavailable},
		"a gateway that gave up": {respondWith(504, "<html>"+mark, "Content-Type: text/html"),
			oauth.Error{Kind: oauth.Unavailable, Description: "HTML answer from a proxy"}, coder.Unavailable},
		"maintenance": {respondWith(503, "", "Retry-After: 120"),
			oauth.Error{Kind: oauth.Unavailable, RetryAfter: 2 * time.Minute}, coder.Unavailable},
		"the provider is off": {respondWith(404, `{"message":"Route not found."}`),
			oauth.Error{Kind: oauth.Disabled, Description: "…"}, coder.Malformed},
		"an unknown route": {respondWith(404, "404 page not found"),
			oauth.Error{Kind: oauth.Malformed, Description: "404 page not found"}, coder.Malformed},
		"an edge's 401": {respondWith(401, `{"message":"signed out","detail":"the API key is invalid"}`),
			oauth.Error{Kind: oauth.Connection, Description: "the API key is invalid"}, coder.KeyUnknown},
		"an edge's 403": {respondWith(403, "<p>"),
			oauth.Error{Kind: oauth.Connection, Description: "HTML answer from a proxy"}, coder.EdgeRefused},
		"a redirect": {respondWith(303, "", "Location: /login?"+mark),
			oauth.Error{Kind: oauth.Connection, Description: "…"}, coder.Redirected},
		"a code that is none": {respondWith(400, protocolError("Invalid Grant!", "x")),
			oauth.Error{Kind: oauth.InvalidRequest, Description: "…"}, coder.Invalid},
		"a code of another type": {respondWith(400, `{"error":7,"message":"m"}`),
			oauth.Error{Kind: oauth.InvalidRequest, Description: "m"}, coder.Invalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, op := range []string{oauth.OpExchange, oauth.OpRefresh, oauth.OpRevoke} {
				err := allOperations(t, startProvider(t, tt.handler))[op]()
				if op == oauth.OpRevoke && tt.want.Kind == oauth.Disabled {
					continue // see TestRevoke
				}
				e := requireOAuthError(t, err)
				want := tt.want
				if want.Op = op; want.Description == "…" {
					want.Description = e.Description
				}
				if diff := cmp.Diff(want, *e, ignoreCause); diff != "" || coder.KindOf(err) != tt.cause {
					t.Errorf("caused by %q: %s", coder.KindOf(err), diff)
				}
				var cause *coder.Error // the same, in either format
				if errors.As(err, &cause) && cause.Message != e.Description && e.Kind != oauth.Disabled {
					t.Errorf("the cause says %q", cause.Message)
				}
				var library *oauth2.RetrieveError
				if errors.As(err, &library) {
					t.Error("the library's error, which has the whole body, is passed on")
				}
			}
		})
	}
}

func TestErrorsWithStatus200(t *testing.T) {
	t.Parallel()
	p := startProvider(t, respondWith(200, protocolError("invalid_grant", "x")))
	for _, op := range []string{oauth.OpExchange, oauth.OpRefresh} {
		if e := requireOAuthError(t, allOperations(t, p)[op]()); e.Kind != oauth.InvalidGrant || e.Lost ||
			errors.Unwrap(e) != nil {
			t.Errorf("got %+v", e)
		}
	}
}

func TestOnlyConsentHelps(t *testing.T) { // B68
	t.Parallel()
	want := map[oauth.Kind]bool{oauth.InvalidGrant: true, oauth.InvalidClient: true}
	for _, kind := range []oauth.Kind{"", oauth.InvalidGrant, oauth.InvalidClient, oauth.InvalidScope,
		oauth.InvalidRequest, oauth.AccessDenied, oauth.Disabled,
		oauth.RegistrationDisabled, oauth.Incomplete, oauth.Unavailable, oauth.Connection, oauth.Malformed} {
		if kind.Reauthenticate() != want[kind] {
			t.Errorf("%s: %v", kind, kind.Reauthenticate())
		}
	}
	if oauth.KindOf(errors.New("x")) != "" || oauth.KindOf(fmt.Errorf("x: %w",
		&oauth.Error{Kind: oauth.Malformed})) != oauth.Malformed {
		t.Error("wrong kind of an error")
	}
}

func TestALostAnswerIsToldFromARequestThatWasNotSent(t *testing.T) { // B67, contract G.18
	t.Parallel()
	large := respondWith(200, tokenResponse(map[string]any{"padding": strings.Repeat("x", 1<<20)}))
	half := respondWith(200, tokenResponse(nil), "Content-Length: 100000")
	held := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		<-r.Context().Done()
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	slow := httptest.NewServer(http.HandlerFunc(held))
	t.Cleanup(slow.Close)
	tests := map[string]struct {
		ctx      context.Context
		provider oauth.Provider
		kind     oauth.Kind
		cause    coder.Kind
		lost     bool
	}{
		"cut off":            {t.Context(), startProvider(t, dropConnection), oauth.Unavailable, coder.Unavailable, true},
		"cut off in between": {t.Context(), startProvider(t, half), oauth.Unavailable, coder.Unavailable, true},
		"too long":           {t.Context(), startProvider(t, large), oauth.Malformed, coder.Malformed, true},
		"not in time": {t.Context(), providerOf(clientAt(t, slow.URL,
			coder.Config{Timeout: 50 * time.Millisecond})), oauth.Unavailable, coder.Unavailable, true},
		// B128
		"cut off after an error": {t.Context(), startProvider(t, respondWith(502, "<html>", "Content-Length: 100000")),
			oauth.Unavailable, coder.Unavailable, false},
		"no listener": {t.Context(), providerAt(t, "http://127.0.0.1:1"), oauth.Unavailable, coder.Unavailable,
			false},
		"cancelled before":    {canceled, startProvider(t, dropConnection), oauth.Unavailable, coder.Canceled, false},
		"TLS to a plain port": {t.Context(), serveTLSAtPlainPort(t), oauth.Connection, coder.SpeaksHTTP, false},
		"no origin": {t.Context(), providerOf(coder.New(coder.Config{})), oauth.InvalidRequest, coder.Invalid,
			false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tt.provider.Refresh(tt.ctx, newMetadata(), newRegistration(), redact.New(oldRefresh))
			if e := requireOAuthError(t, err); e.Kind != tt.kind || e.Lost != tt.lost || coder.KindOf(err) != tt.cause ||
				e.Description == "" {
				t.Errorf("lost: %v, %v, caused by %s", e.Lost, err, coder.KindOf(err))
			}
		})
	}
}

func serveTLSAtPlainPort(t *testing.T) oauth.Provider {
	t.Helper()
	var host string
	p := startProvider(t, func(_ http.ResponseWriter, r *http.Request) { host = r.Host })
	_, _ = p.Revoke(t.Context(), newMetadata(), newRegistration(), redact.New(oldRefresh))
	return providerAt(t, "https://"+host)
}

// A server may repeat anything that it was sent, in many spellings.
func TestNoErrorRepeatsACredential(t *testing.T) { // B90
	t.Parallel()
	all := []string{clientSecret, code, verifier, oldRefresh, management}
	said := strings.Join(all, " ")
	escaped := url.QueryEscape(clientSecret) + " " + url.QueryEscape(said)
	var unicode strings.Builder
	for _, r := range said {
		fmt.Fprintf(&unicode, `\u%04x`, r)
	}
	long := strings.Repeat("x", 180) + " " + said
	for name, body := range map[string]string{
		"in the description":   protocolError("invalid_request", said),
		"escaped as in a form": protocolError("invalid_request", escaped),
		"escaped as in JSON":   protocolError("invalid_request", unicode.String()),
		"at the cut":           protocolError("invalid_request", long),
		"as the code":          protocolError(strings.ToLower(mark), said),
		"in Coder's shape": `{"message":"` + unicode.String() + `","detail":"` + long + `","validations":[{"field":"` +
			said + `","detail":"` + said + `"}]}`,
		"as a text":        said,
		"as a long text":   long,
		"as a page":        "<html>" + said,
		"as a form":        "error=invalid_request&error_description=" + escaped,
		"within something": `{"message":"m","detail":{"` + said + `":["` + said + `"]},"error":["` + said + `"]}`,
		"as a list":        `["` + unicode.String() + `"]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var handler atomic.Pointer[http.HandlerFunc]
			p := startProvider(t, func(w http.ResponseWriter, r *http.Request) { (*handler.Load())(w, r) })
			for _, status := range []int{200, 302, 304, 400, 401, 404, 429, 500} {
				for _, contentType := range []string{"application/json", "text/html"} {
					next := respondWith(status, body, "Content-Type: "+contentType, "Location: https://"+mark+"@elsewhere.test/"+mark,
						"Www-Authenticate: "+said)
					handler.Store(&next)
					for op, do := range allOperations(t, p) {
						secretlessOf(t, op, do(), firstHalf)
					}
				}
			}
		})
	}
}

// sent returns the credentials that an operation sends. It cannot redact others.
var sent = map[string][]string{
	oauth.OpExchange:   {clientSecret, code, verifier},
	oauth.OpRefresh:    {clientSecret, oldRefresh},
	oauth.OpRevoke:     {clientSecret, oldRefresh},
	oauth.OpDeregister: {management},
}

// Half of a credential must not appear either, unless the server has cut it.
func firstHalf(credential string) string { return credential[:len(mark)+6] }

func wholeCredential(credential string) string { return credential }

// secretlessOf fails if an error, or anything it wraps, shows a credential that the operation
// sends.
func secretlessOf(t *testing.T, op string, err error, part func(string) string) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		text := fmt.Sprintf("%v %+v", err, err)
		for _, credential := range sent[op] {
			for _, value := range []string{part(credential), url.QueryEscape(credential)} {
				if strings.Contains(text, value) {
					t.Errorf("%s shows %q: %s", op, value, text)
				}
			}
		}
	}
}

func TestTheBasicHeaderIsNotRepeated(t *testing.T) { // B90
	t.Parallel()
	var header string
	p := startProvider(t, func(w http.ResponseWriter, r *http.Request) {
		_, header, _ = strings.Cut(r.Header.Get("Authorization"), " ")
		respondWith(400, protocolError("invalid_request", "cannot parse "+header))(w, r)
	})
	for _, op := range []string{oauth.OpExchange, oauth.OpRefresh, oauth.OpRevoke} {
		if err := allOperations(t, p)[op](); err == nil || header == "" || strings.Contains(err.Error(), header) {
			t.Errorf("got %v", err)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*oauth.Error{
		"oauth_refresh: InvalidGrant (invalid_grant): used": {
			Op: oauth.OpRefresh, Kind: oauth.InvalidGrant, Code: "invalid_grant", Description: "used"},
		"oauth_refresh: Unavailable": {Op: oauth.OpRefresh, Kind: oauth.Unavailable},
		"oauth_discover: Incomplete: issuer, a: b": {
			Op: oauth.OpDiscover, Kind: oauth.Incomplete, Missing: []string{"issuer", "a: b"}},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// mark is part of every credential of these tests. Most match no pattern of redact.Text.
const mark = "S3NT1NEL"

// Credentials, and a pair as in contract C.7.
const (
	clientID     = "2b4e28ba-0000-4000-8000-00000000000c"
	clientSecret = mark + "+client/secret&"
	code         = mark + "authorizationcode"
	verifier     = mark + "0123456789012345678901234567890123456789"
	oldRefresh   = mark + "oldrefreshtoken"
	newRefresh   = mark + "newrefreshtoken"
	management   = mark + "registrationaccesstoken"
	keyID        = "a1B2c3D4e5"
	accessToken  = keyID + "-" + mark + "ABCDEFGHIJKLMN"
	accessURL    = "https://coder.example.test"
	callback     = "https://operator.example.test/oauth/callback"
)

// now is the local clock; the server's is five minutes ahead.
var (
	now        = time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC)
	serverTime = now.Add(5 * time.Minute)
)

func newRegistration() oauth.Registration {
	return oauth.Registration{
		ClientID: clientID, ClientSecret: redact.New(clientSecret), RedirectURIs: []string{callback},
		ManagementURI: accessURL + "/oauth2/clients/" + clientID, ManagementToken: redact.New(management),
	}
}

func newMetadata() oauth.Metadata {
	return oauth.Metadata{
		Issuer: accessURL, AuthorizationEndpoint: accessURL + "/oauth2/authorize",
		TokenEndpoint:        accessURL + "/oauth2/tokens",
		RegistrationEndpoint: accessURL + "/oauth2/register", RevocationEndpoint: accessURL + "/oauth2/revoke",
		Scopes: []string{"workspace:read"}, AuthMethod: oauth.ClientSecretBasic,
	}
}

func newAttempt() oauth.Attempt {
	return oauth.Attempt{RedirectURI: callback, State: "state", Verifier: redact.New(verifier),
		Scopes: []string{"workspace:read", "template:read"}}
}

// metadataDocument returns the metadata of contract C.2, changed.
func metadataDocument(change map[string]any) string {
	doc := map[string]any{
		"issuer": accessURL, "authorization_endpoint": accessURL + "/oauth2/authorize",
		"token_endpoint":        accessURL + "/oauth2/tokens",
		"registration_endpoint": accessURL + "/oauth2/register", "revocation_endpoint": accessURL + "/oauth2/revoke",
		"response_types_supported":         []string{"code"},
		"grant_types_supported":            []string{"authorization_code", "refresh_token"},
		"code_challenge_methods_supported": []string{"S256"}, "scopes_supported": []string{"workspace:read"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "none"},
	}
	return changeMembers(doc, change)
}

// tokenResponse returns a response of the token endpoint, changed.
func tokenResponse(change map[string]any) string {
	return changeMembers(map[string]any{
		"access_token": accessToken, "token_type": "Bearer", "expires_in": 86399, "refresh_token": newRefresh,
		"scope": "workspace:read template:read", "expiry": "2026-02-21T10:05:00.5Z",
	}, change)
}

// changeMembers sets members of a document; nil removes one.
func changeMembers(doc, change map[string]any) string {
	for name, value := range change {
		doc[name] = value
		if value == nil {
			delete(doc, name)
		}
	}
	encoded, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

// respondWith sends the same response to every request; header has lines "Name: value".
func respondWith(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Date", serverTime.Format(http.TimeFormat))
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			w.Header()[name] = []string{value}
			if value == "" {
				w.Header()[name] = nil
			}
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// dropConnection closes the connection once the request has arrived.
func dropConnection(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.ReadAll(r.Body)
	panic(http.ErrAbortHandler)
}

// startProvider starts a server and returns its provider. The origin that it advertises is another one.
func startProvider(t *testing.T, handler http.HandlerFunc) oauth.Provider {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return providerAt(t, server.URL)
}

func providerAt(t *testing.T, rawURL string) oauth.Provider {
	t.Helper()
	return providerOf(clientAt(t, rawURL, coder.Config{}))
}

func providerOf(c *coder.Client) oauth.Provider {
	return oauth.New(c, testclock.NewFakePassiveClock(now))
}

// clientAt returns a client with a token of its own, which no request of this package may carry.
func clientAt(t *testing.T, rawURL string, config coder.Config) *coder.Client {
	t.Helper()
	origin, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	config.URL, config.Token = origin, redact.New(mark+"-operator")
	if config.Timeout == 0 {
		config.Timeout = time.Minute
	}
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	c := coder.New(config)
	t.Cleanup(c.CloseIdle)
	return c
}

// allOperations are all that send a request, for properties that hold for each.
func allOperations(t *testing.T, p oauth.Provider) map[string]func() error {
	t.Helper()
	return map[string]func() error{
		oauth.OpDiscover: func() error { _, err := p.Discover(t.Context()); return err },
		oauth.OpRegister: func() error {
			_, err := p.Register(t.Context(), newMetadata(), oauth.ClientMetadata{Name: "cso", RedirectURIs: []string{callback}})
			return err
		},
		oauth.OpDeregister: func() error { return p.Deregister(t.Context(), newRegistration()) },
		oauth.OpExchange: func() error {
			_, err := p.Exchange(t.Context(), newMetadata(), newRegistration(), newAttempt(), redact.New(code))
			return err
		},
		oauth.OpRefresh: func() error {
			_, err := p.Refresh(t.Context(), newMetadata(), newRegistration(), redact.New(oldRefresh))
			return err
		},
		oauth.OpRevoke: func() error {
			_, err := p.Revoke(t.Context(), newMetadata(), newRegistration(), redact.New(oldRefresh))
			return err
		},
	}
}

// requireNoSecrets fails if an error, or anything it wraps, shows a credential (B90).
func requireNoSecrets(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		fields, _ := json.Marshal(err)
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), string(fields)} {
			if strings.Contains(strings.ToUpper(text), mark) {
				t.Errorf("%T shows a credential: %s", err, text)
			}
		}
	}
}

// requireOAuthError returns err as the package's own error.
func requireOAuthError(t *testing.T, err error) *oauth.Error {
	t.Helper()
	requireNoSecrets(t, err)
	var e *oauth.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, of type %T", err, err)
	}
	return e
}

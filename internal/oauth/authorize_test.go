// SPDX-License-Identifier: Apache-2.0

package oauth_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

func TestAuthorizationURL(t *testing.T) { // B62
	t.Parallel()
	// The example of RFC 7636, appendix B.
	a := newAttempt()
	a.State, a.Verifier = "s&t=e", redact.New("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
	raw, err := oauth.AuthorizationURL(newMetadata(), newRegistration(), a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {callback}, "state": {"s&t=e"},
		"scope": {"workspace:read template:read"}, "code_challenge_method": {"S256"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"},
	}
	if diff := cmp.Diff(want, got.Query()); diff != "" {
		t.Error(diff)
	}
	got.RawQuery = ""
	if got.String() != accessURL+"/oauth2/authorize" || strings.Contains(raw, a.Verifier.Reveal()) ||
		strings.Contains(raw, mark) {
		t.Errorf("got %s", raw)
	}
	a.Scopes = nil
	if raw, err := oauth.AuthorizationURL(newMetadata(), newRegistration(), a); err != nil ||
		strings.Contains(raw, "scope=") {
		t.Errorf("got %s, %v", raw, err)
	}
}

func TestAuthorizationsThatWouldNotBeProtected(t *testing.T) { // B62
	t.Parallel()
	for name, spoil := range map[string]func(*oauth.Metadata, *oauth.Registration, *oauth.Attempt){
		"no state":    func(_ *oauth.Metadata, _ *oauth.Registration, a *oauth.Attempt) { a.State = "" },
		"no verifier": func(_ *oauth.Metadata, _ *oauth.Registration, a *oauth.Attempt) { a.Verifier = redact.Secret{} },
		"a short verifier": func(_ *oauth.Metadata, _ *oauth.Registration, a *oauth.Attempt) {
			a.Verifier = redact.New(verifier[:42])
		},
		"no redirect URI": func(_ *oauth.Metadata, _ *oauth.Registration, a *oauth.Attempt) { a.RedirectURI = "" },
		"no client":       func(_ *oauth.Metadata, r *oauth.Registration, _ *oauth.Attempt) { r.ClientID = "" },
		"no endpoint": func(md *oauth.Metadata, _ *oauth.Registration,
			_ *oauth.Attempt) {
			md.AuthorizationEndpoint = ""
		},
	} {
		md, r, a := newMetadata(), newRegistration(), newAttempt()
		spoil(&md, &r, &a)
		raw, err := oauth.AuthorizationURL(md, r, a)
		if e := requireOAuthError(t, err); e.Kind != oauth.InvalidRequest || raw != "" {
			t.Errorf("%s: got %q, %v", name, raw, err)
		}
	}
}

func TestAttemptsAreRandom(t *testing.T) { // B62
	t.Parallel()
	shape := regexp.MustCompile(`^[0-9A-Za-z_-]{43}$`)
	seen := map[string]bool{}
	for range 100 {
		a, err := oauth.NewAttempt(rand.Reader, callback, []string{"workspace:read"})
		if err != nil {
			t.Fatal(err)
		}
		for _, drawn := range []string{a.State, a.Verifier.Reveal()} {
			if !shape.MatchString(drawn) || seen[drawn] {
				t.Fatalf("drew %q", drawn)
			}
			seen[drawn] = true
		}
		if a.RedirectURI != callback || len(a.Scopes) != 1 {
			t.Fatalf("got %+v", a)
		}
		if text := fmt.Sprintf("%+v %#v", a, a); strings.Contains(text, a.Verifier.Reveal()) { // B90
			t.Errorf("the verifier shows: %s", text)
		}
	}
	// A reader may give less than is asked for.
	slow := iotest.OneByteReader(bytes.NewReader(bytes.Repeat([]byte{0xff}, 64)))
	if a, err := oauth.NewAttempt(slow, callback, nil); err != nil || a.State != strings.Repeat("_", 42)+"8" ||
		a.Verifier.Reveal() != a.State {
		t.Errorf("drew %q, %v", a.State, err)
	}
	broken := errors.New("no entropy")
	for n := range 64 {
		if _, err := oauth.NewAttempt(iotest.TimeoutReader(bytes.NewReader(make([]byte, n))), callback, nil); err == nil {
			t.Fatalf("drew from %d bytes", n)
		}
	}
	if _, err := oauth.NewAttempt(iotest.ErrReader(broken), callback, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		code, description string
		want              oauth.Error
	}{
		"cancelled": {"access_denied", "the user said no",
			oauth.Error{Kind: oauth.AccessDenied, Code: "access_denied", Description: "the user said no"}},
		"scope": {"invalid_scope", "", oauth.Error{Kind: oauth.InvalidScope, Code: "invalid_scope"}},
		"request": {"invalid_request", "a\r\nb",
			oauth.Error{Kind: oauth.InvalidRequest, Code: "invalid_request", Description: "a b"}},
		"server": {"server_error", "x", oauth.Error{Kind: oauth.Unavailable, Code: "server_error", Description: trouble}},
		"not a code": {"<script>", "client_secret=" + mark,
			oauth.Error{Kind: oauth.InvalidRequest, Description: "client_secret=[redacted]"}},
		"no end": {strings.Repeat("a", 65), strings.Repeat("b", 201),
			oauth.Error{Kind: oauth.InvalidRequest, Description: strings.Repeat("b", 199) + "…"}},
		"nothing":     {"", "", oauth.Error{Kind: oauth.InvalidRequest}},
		"our own one": {"unknown_code", "d", oauth.Error{Kind: oauth.InvalidRequest, Code: "unknown_code", Description: "d"}},
	}
	for name, tt := range tests {
		tt.want.Op = oauth.OpAuthorize
		err := oauth.Refused(tt.code, tt.description)
		requireNoSecrets(t, err)
		if diff := cmp.Diff(tt.want, *err, ignoreCause); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

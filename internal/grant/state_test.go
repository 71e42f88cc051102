// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

func TestWhatARegistrationServes(t *testing.T) { // B61
	t.Parallel()
	uris := RedirectURIs("https://operator.example.test/callback")
	own := func() *Client {
		return &Client{Registration: oauth.Registration{ClientID: "own", RedirectURIs: uris}}
	}
	static := func() *Client {
		return &Client{Static: true, Registration: oauth.Registration{ClientID: "shared"}}
	}
	tests := map[string]struct {
		client *Client
		static string
		uris   []string
		want   bool
	}{
		"its own":                        {own(), "", uris, true},
		"another redirect URI":           {own(), "", RedirectURIs("https://moved.example.test/callback"), false},
		"one redirect URI less":          {own(), "", RedirectURIs(""), false},
		"a static client has come":       {own(), "shared", uris, false},
		"also where the ids are alike":   {own(), "own", uris, false},
		"the static client":              {static(), "shared", uris, true},
		"the static client, other URIs":  {static(), "shared", nil, true},
		"another static client":          {static(), "other", uris, false},
		"the static client has gone":     {static(), "", uris, false},
		"no registration":                {nil, "", uris, false},
		"no registration, nothing asked": {nil, "", nil, false},
	}
	for name, tt := range tests {
		if got := tt.client.Serves(tt.static, tt.uris); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTheSecretOfAStaticClient(t *testing.T) {
	t.Parallel()
	c := completeState().Client
	if got := c.With(redact.New("rotated")); got.ClientSecret.Reveal() != "rotated" || got.ClientID != c.ClientID {
		t.Errorf("a static client has %+v", got)
	}
	c.Static = false
	if got := c.With(redact.New("rotated")); !got.ClientSecret.Equal(completeState().Client.ClientSecret) {
		t.Error("a client of the session's own has another secret")
	}
}

func TestEnd(t *testing.T) { // B68
	t.Parallel()
	tests := map[string]struct {
		before    State
		consented bool
	}{
		"a grant":                          {State{Grant: &Grant{}, Intent: &Intent{}, Attempt: &Attempt{}}, true},
		"an attempt, the first":            {State{Attempt: &Attempt{}}, false},
		"an attempt, after a grant":        {State{Attempt: &Attempt{}, Ended: &Ended{Consented: true}}, true},
		"an attempt, after other attempts": {State{Attempt: &Attempt{}, Ended: &Ended{}}, false},
	}
	for name, tt := range tests {
		s := tt.before
		s.Client = &Client{Server: "one"}
		s.End("InvalidGrant", "it is used", now)
		want := State{
			Client: &Client{Server: "one"}, Attempt: &Attempt{},
			Ended: &Ended{Reason: "InvalidGrant", Message: "it is used", At: now, Consented: tt.consented},
		}
		if diff := cmp.Diff(want, s); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// B62, B63: a callback with the previous link gets a message that it has expired, if it has.
func TestAsk(t *testing.T) {
	t.Parallel()
	of := func(state string, left time.Duration) *Attempt {
		return &Attempt{Attempt: oauth.Attempt{State: state}, ExpiresAt: now.Add(left)}
	}
	spent := of("old", -time.Minute)
	spent.SpentAt = now
	tests := map[string]struct {
		before State
		want   string
	}{
		"the first one":    {State{}, ""},
		"an expired one":   {State{Attempt: of("old", 0)}, "old"},
		"one that was not": {State{Attempt: of("old", time.Second), Replaced: "older"}, ""},
		"a spent one":      {State{Attempt: spent}, ""},
	}
	for name, tt := range tests {
		s, next := tt.before, of("new", time.Minute)
		s.Ask(next, now)
		if s.Attempt != next || s.Replaced != tt.want {
			t.Errorf("%s: replaced is %q, want %q", name, s.Replaced, tt.want)
		}
	}
}

func TestGranted(t *testing.T) { // B62
	t.Parallel()
	tests := map[string]struct{ before, after *Attempt }{
		"by consent":              {&Attempt{SpentAt: now}, &Attempt{SpentAt: now}},
		"by a refresh":            {nil, nil},
		"while a link is pending": {&Attempt{ExpiresAt: now}, nil},
	}
	for name, tt := range tests {
		s := State{Client: &Client{Server: "one"}, Attempt: tt.before, Intent: &Intent{}, Ended: &Ended{Consented: true}}
		s.Granted(newGrant("a1B2c3D4e5"), now)
		want := State{Client: &Client{Server: "one"}, Attempt: tt.after,
			Grant: &Grant{Grant: newGrant("a1B2c3D4e5"), IssuedAt: now}}
		if diff := cmp.Diff(want, s); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSpentBy(t *testing.T) { // B67
	t.Parallel()
	s := State{Grant: &Grant{}}
	s.SpentBy("pod-1", now)
	if diff := cmp.Diff(State{Grant: &Grant{}, Intent: &Intent{Holder: "pod-1", At: now}}, s); diff != "" {
		t.Error(diff)
	}
}

func TestPublic(t *testing.T) { // B90
	t.Parallel()
	s := completeState()
	public := s.Public()
	for name, secret := range map[string]redact.Secret{
		"client secret": public.Client.ClientSecret, "management token": public.Client.ManagementToken,
		"verifier": public.Attempt.Verifier, "access token": public.Grant.AccessToken,
		"refresh token": public.Grant.RefreshToken,
	} {
		if secret.Reveal() != "" {
			t.Errorf("the %s is kept", name)
		}
	}
	if public.Grant.RefreshToken.IsZero() {
		t.Error("it is not kept that there is a refresh token")
	}
	if diff := cmp.Diff(completeState(), s); diff != "" {
		t.Errorf("the original is changed: %s", diff)
	}
	if diff := cmp.Diff(State{}, State{}.Public()); diff != "" {
		t.Error(diff)
	}
	s.Grant.RefreshToken = redact.Secret{}
	if !s.Public().Grant.RefreshToken.IsZero() {
		t.Error("there is no refresh token")
	}
}

// A printed state shows no credential, and no other contents either.
func TestPrintedStates(t *testing.T) { // B90
	t.Parallel()
	s := completeState()
	values := map[string]any{
		"state": s, "pointer": &s, "client": *s.Client, "attempt": *s.Attempt, "grant": *s.Grant, "list": []State{s},
		"map": map[string]any{"x": s.Client, "y": s.Attempt, "z": s.Grant}, "Client": s.Client, "Attempt": s.Attempt,
		"Grant": s.Grant,
	}
	for name, value := range values {
		encoded, _ := json.Marshal(value)
		texts := []string{string(encoded), fmt.Sprint(value), fmt.Sprint(redact.Value(value))}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%U"} {
			texts = append(texts, fmt.Sprintf(verb, value))
		}
		for _, text := range texts {
			upper := strings.ToUpper(text)
			if strings.Contains(upper, mark) || strings.Contains(upper, fmt.Sprintf("%X", mark)) {
				t.Errorf("%s shows a credential: %s", name, text)
			}
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	if AttemptLifetime != 10*time.Minute { // B63
		t.Errorf("a link is good for %s", AttemptLifetime)
	}
}

func TestRedirectURIs(t *testing.T) { // B61
	t.Parallel()
	if diff := cmp.Diff([]string{"https://a.test/cb", "http://localhost:17965/oauth/callback"},
		RedirectURIs("https://a.test/cb")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"http://localhost:17965/oauth/callback"}, RedirectURIs("")); diff != "" {
		t.Error(diff)
	}
}

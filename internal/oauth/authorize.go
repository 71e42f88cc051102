// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"encoding/base64"
	"fmt"
	"io"
	"regexp"

	"golang.org/x/oauth2"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// randomBytes are 256 bits, of a verifier (RFC 7636, section 4.1) and of a state, which needs 128 (RFC 6749, section 10.10).
const randomBytes = 32

// Attempt is one attempt to get a person's consent (B62). It is stored before the person sees the URL, and used once.
type Attempt struct {
	// RedirectURI is one of the registration's.
	RedirectURI string
	// State comes back to the callback, which finds the attempt by it. It stands in the URL and is no credential.
	State string
	// Verifier proves that the code is redeemed by whoever asked for it (PKCE, RFC 7636).
	Verifier redact.Secret
	// Scopes are what is asked for; none: the server's choice (contract C.6).
	Scopes []string
}

// NewAttempt draws the state and the verifier from random, which is crypto/rand.Reader except in tests. It fails if random
// does.
func NewAttempt(random io.Reader, redirectURI string, scopes []string) (Attempt, error) {
	state, err := draw(random)
	if err != nil {
		return Attempt{}, fmt.Errorf("draw a state: %w", err)
	}
	verifier, err := draw(random)
	if err != nil {
		return Attempt{}, fmt.Errorf("draw a code verifier: %w", err)
	}
	return Attempt{
		RedirectURI: redirectURI, State: state, Verifier: redact.New(verifier), Scopes: append([]string(nil), scopes...),
	}, nil
}

func draw(random io.Reader) (string, error) {
	var raw [randomBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// verifierShape is RFC 7636, section 4.1.
var verifierShape = regexp.MustCompile(`^[0-9A-Za-z._~-]{43,128}$`)

// AuthorizationURL returns the page on which a person consents to the attempt (contract C.6). It holds no credential: the
// challenge is a hash of the verifier. Its origin is that of the metadata, because a browser opens it.
func AuthorizationURL(md Metadata, r Registration, a Attempt) (string, error) {
	switch {
	case parseEndpoint(md.AuthorizationEndpoint) == nil:
		return "", invalid(OpAuthorize, "the metadata have no authorization endpoint")
	case r.ClientID == "" || a.RedirectURI == "" || a.State == "":
		return "", invalid(OpAuthorize, "an authorization needs a client, a redirect URI and a state")
	case !verifierShape.MatchString(a.Verifier.Reveal()):
		return "", invalid(OpAuthorize, "an authorization needs a code verifier")
	}
	config := oauth2.Config{
		ClientID: r.ClientID, RedirectURL: a.RedirectURI, Scopes: a.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: md.AuthorizationEndpoint},
	}
	return config.AuthCodeURL(a.State, oauth2.S256ChallengeOption(a.Verifier.Reveal())), nil
}

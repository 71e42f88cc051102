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

// randomBytes is the length of a verifier (RFC 7636, section 4.1) and of a state, in bytes. 256
// bits are more than the 128 that a state needs (RFC 6749, section 10.10).
const randomBytes = 32

// Attempt is one attempt to get a person's consent (B62). It is stored before the person sees the
// URL, and is used once.
type Attempt struct {
	// RedirectURI is one of the redirect URIs of the registration.
	RedirectURI string
	// State identifies the attempt in the callback. It is part of the URL and not a credential.
	State string
	// Verifier proves that the code is redeemed by the party that requested it (PKCE, RFC 7636).
	Verifier redact.Secret
	// Issuer identifies the provider that is asked.
	Issuer string
	// Scopes that are requested. None: the server chooses (contract C.6).
	Scopes []string
}

// NewAttempt generates the state and the verifier from random, which is crypto/rand.Reader except
// in tests. It fails if random does.
func NewAttempt(random io.Reader, redirectURI string, scopes []string) (Attempt, error) {
	state, err := randomString(random)
	if err != nil {
		return Attempt{}, fmt.Errorf("draw a state: %w", err)
	}
	verifier, err := randomString(random)
	if err != nil {
		return Attempt{}, fmt.Errorf("draw a code verifier: %w", err)
	}
	return Attempt{
		RedirectURI: redirectURI, State: state, Verifier: redact.New(verifier), Scopes: append([]string(nil), scopes...),
	}, nil
}

func randomString(random io.Reader) (string, error) {
	var raw [randomBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// verifierShape is the syntax of a verifier in RFC 7636, section 4.1.
var verifierShape = regexp.MustCompile(`^[0-9A-Za-z._~-]{43,128}$`)

// AuthorizationURL returns the page on which a person consents to the attempt (contract C.6). It
// contains no credential: the challenge is a hash of the verifier. Its origin is the one in the
// metadata, because a browser opens it.
func AuthorizationURL(md Metadata, r Registration, a Attempt) (string, error) {
	switch {
	case parseEndpoint(md.AuthorizationEndpoint) == nil:
		return "", invalidRequest(OpAuthorize, "the metadata have no authorization endpoint")
	case r.ClientID == "" || a.RedirectURI == "" || a.State == "":
		return "", invalidRequest(OpAuthorize, "an authorization needs a client, a redirect URI and a state")
	case !verifierShape.MatchString(a.Verifier.Reveal()):
		return "", invalidRequest(OpAuthorize, "an authorization needs a code verifier")
	}
	config := oauth2.Config{
		ClientID: r.ClientID, RedirectURL: a.RedirectURI, Scopes: a.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: md.AuthorizationEndpoint},
	}
	return config.AuthCodeURL(a.State, oauth2.S256ChallengeOption(a.Verifier.Reveal())), nil
}

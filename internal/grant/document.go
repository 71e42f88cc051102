// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// document is the stored form of State. Its fields are plain strings, so that they can be encoded.
// It is not used outside of this package.
type document struct {
	Version  int              `json:"version"`
	Client   *clientDocument  `json:"client,omitempty"`
	Attempt  *attemptDocument `json:"attempt,omitempty"`
	Replaced string           `json:"replaced,omitempty"`
	Grant    *grantDocument   `json:"grant,omitempty"`
	Intent   *Intent          `json:"intent,omitempty"`
	Ended    *Ended           `json:"ended,omitempty"`
}

type clientDocument struct {
	ID              string   `json:"id"`
	Secret          string   `json:"secret,omitempty"`
	AuthMethod      string   `json:"authMethod,omitempty"`
	RedirectURIs    []string `json:"redirectURIs,omitempty"`
	ManagementURI   string   `json:"managementURI,omitempty"`
	ManagementToken string   `json:"managementToken,omitempty"`
	Server          string   `json:"server"`
	Static          bool     `json:"static,omitempty"`
	// Destination is absent in documents of older operators.
	Destination *destinationDocument `json:"destination,omitempty"`
}

type destinationDocument struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Origin    string `json:"origin"`
	Route     string `json:"route"`
}

func encodeDestination(d Destination) *destinationDocument {
	if d == (Destination{}) {
		return nil
	}
	return &destinationDocument{
		Namespace: d.Deployment.Namespace, Name: d.Deployment.Name, UID: string(d.UID), Origin: d.Origin, Route: d.Route,
	}
}

// decode returns the zero value for an absent one. One that is there without a UID or an origin is
// unreadable: it must not count as absent.
func (d *destinationDocument) decode() (Destination, error) {
	switch {
	case d == nil:
		return Destination{}, nil
	case d.UID == "" || d.Origin == "":
		return Destination{}, errUnreadable
	}
	return Destination{
		Deployment: types.NamespacedName{Namespace: d.Namespace, Name: d.Name}, UID: types.UID(d.UID),
		Origin: d.Origin, Route: d.Route,
	}, nil
}

type attemptDocument struct {
	RedirectURI string    `json:"redirectURI"`
	State       string    `json:"state"`
	Verifier    string    `json:"verifier"`
	Issuer      string    `json:"issuer,omitempty"`
	Scopes      []string  `json:"scopes,omitempty"`
	URL         string    `json:"url"`
	ExpiresAt   time.Time `json:"expiresAt"`
	SpentAt     time.Time `json:"spentAt,omitzero"`
}

type grantDocument struct {
	AccessToken  string    `json:"accessToken"`
	KeyID        string    `json:"keyID"`
	RefreshToken string    `json:"refreshToken,omitempty"`
	ExpiresAt    time.Time `json:"expiresAt"`
	IssuedAt     time.Time `json:"issuedAt"`
	// Lifetime in seconds. Absent in documents of older operators.
	Lifetime float64 `json:"lifetimeSeconds,omitempty"`
	// Scopes is null if the server did not say.
	Scopes []string `json:"scopes"`
}

// lifetime is positive.
func (g grantDocument) lifetime() time.Duration {
	if g.Lifetime > 0 {
		return time.Duration(g.Lifetime * float64(time.Second))
	}
	return max(g.ExpiresAt.Sub(g.IssuedAt), time.Second)
}

// documentVersion is increased when an older operator could not read what a newer one writes.
const documentVersion = 1

func encodeState(s State) ([]byte, error) {
	d := document{Version: documentVersion, Replaced: s.Replaced, Intent: s.Intent, Ended: s.Ended}
	if c := s.Client; c != nil {
		d.Client = &clientDocument{
			ID: c.ClientID, Secret: c.ClientSecret.Reveal(), AuthMethod: string(c.AuthMethod), RedirectURIs: c.RedirectURIs,
			ManagementURI: c.ManagementURI, ManagementToken: c.ManagementToken.Reveal(), Server: c.Server, Static: c.Static,
			Destination: encodeDestination(c.Destination),
		}
	}
	if a := s.Attempt; a != nil {
		d.Attempt = &attemptDocument{
			RedirectURI: a.RedirectURI, State: a.State, Verifier: a.Verifier.Reveal(), Issuer: a.Issuer,
			Scopes: a.Scopes, URL: a.URL, ExpiresAt: a.ExpiresAt, SpentAt: a.SpentAt,
		}
	}
	if g := s.Grant; g != nil {
		d.Grant = &grantDocument{
			AccessToken: g.AccessToken.Reveal(), KeyID: g.KeyID, RefreshToken: g.RefreshToken.Reveal(),
			ExpiresAt: g.ExpiresAt, IssuedAt: g.IssuedAt, Lifetime: g.Lifetime.Seconds(), Scopes: g.Scopes,
		}
	}
	return json.Marshal(d)
}

// errUnreadable is returned for a document that cannot be decoded. It does not quote the document,
// which contains credentials.
var errUnreadable = errors.New("the document cannot be read")

// decodeState decodes a document. It fails if a required field is missing (B25).
func decodeState(text []byte) (State, error) {
	var d document
	if json.Unmarshal(text, &d) != nil || d.Version != documentVersion {
		return State{}, errUnreadable
	}
	s := State{Replaced: d.Replaced, Intent: d.Intent, Ended: d.Ended}
	if d.Client != nil {
		var err error
		if s.Client, err = d.Client.decode(); err != nil {
			return State{}, err
		}
	}
	if a := d.Attempt; a != nil {
		if a.State == "" || a.Verifier == "" {
			return State{}, errUnreadable
		}
		s.Attempt = &Attempt{URL: a.URL, ExpiresAt: a.ExpiresAt, SpentAt: a.SpentAt, Attempt: oauth.Attempt{
			RedirectURI: a.RedirectURI, State: a.State, Verifier: redact.New(a.Verifier), Issuer: a.Issuer,
			Scopes: a.Scopes,
		}}
	}
	if g := d.Grant; g != nil {
		if g.AccessToken == "" || g.KeyID == "" || s.Client == nil {
			return State{}, errUnreadable
		}
		s.Grant = &Grant{IssuedAt: g.IssuedAt, Grant: oauth.Grant{
			AccessToken: redact.New(g.AccessToken), KeyID: g.KeyID, RefreshToken: secretOf(g.RefreshToken),
			ExpiresAt: g.ExpiresAt, Lifetime: g.lifetime(), Scopes: g.Scopes,
		}}
	}
	return s, nil
}

func (c *clientDocument) decode() (*Client, error) {
	destination, err := c.Destination.decode()
	if c.ID == "" || err != nil {
		return nil, errUnreadable
	}
	return &Client{Server: c.Server, Static: c.Static, Destination: destination, Registration: oauth.Registration{
		ClientID: c.ID, ClientSecret: secretOf(c.Secret), AuthMethod: oauth.AuthMethod(c.AuthMethod),
		RedirectURIs: slices.Clone(c.RedirectURIs), ManagementURI: c.ManagementURI,
		ManagementToken: secretOf(c.ManagementToken),
	}}, nil
}

// secretOf returns an absent secret for an empty value.
func secretOf(value string) redact.Secret {
	if value == "" {
		return redact.Secret{}
	}
	return redact.New(value)
}

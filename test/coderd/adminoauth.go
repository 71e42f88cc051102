// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Errors of the OAuth2 administration.
var (
	// ErrAppNotFound: no app has that client id.
	ErrAppNotFound = errors.New("app not found")
	// ErrGrantNotFound: the user has no grant for the app.
	ErrGrantNotFound = errors.New("grant not found")
	// ErrRefused: the server would not grant the authorization; the text holds the error code and its
	// description.
	ErrRefused = errors.New("authorization refused")
)

// SetOAuth2Provider switches the provider on or off in the way of the current profile: by
// experiment or by option (C.1).
func (s *Server) SetOAuth2Provider(on bool) {
	s.Reconfigure(func(o *Options) {
		if o.isNew() {
			o.OAuth2Provider = on
			return
		}
		o.Experiments = slices.DeleteFunc(o.Experiments, func(name string) bool { return name == experimentOAuth2 })
		if on {
			o.Experiments = append(o.Experiments, experimentOAuth2)
		}
	})
}

// SetDynamicRegistration opens or closes dynamic client registration. It has no effect in R30
// (C.4).
func (s *Server) SetDynamicRegistration(on bool) {
	s.Reconfigure(func(o *Options) { o.DynamicRegistration = on })
}

// OAuthAppOptions describes an app to create.
type OAuthAppOptions struct {
	// Name is shown to people on the consent page.
	Name string
	// RedirectURIs are stored as they are; at least one is needed.
	RedirectURIs []string
	// Scope is the allow-list, separated by spaces and stored as it is; "" is none.
	Scope string
}

// OAuthApp is a snapshot of a client that an administrator made or that registered itself.
type OAuthApp struct {
	ClientID     string    `json:"client_id"`
	Name         string    `json:"name"`
	RedirectURIs []string  `json:"redirect_uris"`
	Scope        string    `json:"scope"`
	Public       bool      `json:"public"`
	Registered   bool      `json:"registered"` // dynamically
	SecretIDs    []string  `json:"secret_ids"`
	CreatedAt    time.Time `json:"created_at"`
}

func (app *oauthApp) snapshot() OAuthApp {
	out := OAuthApp{
		ClientID: app.id, Name: app.name, RedirectURIs: slices.Clone(app.redirectURIs), Scope: app.scope, Public: app.public,
		Registered: app.registration != nil, CreatedAt: app.createdAt,
	}
	for _, secret := range app.secrets {
		out.SecretIDs = append(out.SecretIDs, secret.id)
	}
	return out
}

// CreateOAuthApp makes a static client: an app with one client secret, whose value is returned only
// here.
func (s *Server) CreateOAuthApp(o OAuthAppOptions) (OAuthApp, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Name == "" || len(o.RedirectURIs) == 0 {
		return OAuthApp{}, "", fmt.Errorf("creating app %q: %w", o.Name, ErrInvalid)
	}
	app, err := s.newApp(o.Name)
	if err != nil {
		return OAuthApp{}, "", fmt.Errorf("creating app %q: %w", o.Name, err)
	}
	app.redirectURIs, app.scope = slices.Clone(o.RedirectURIs), o.Scope
	value, _, err := s.addAppSecret(app)
	if err != nil {
		return OAuthApp{}, "", fmt.Errorf("creating app %q: %w", o.Name, err)
	}
	s.store.oauth.addApp(app)
	return app.snapshot(), value, nil
}

// OAuthApps returns all apps in the order of their creation, including those that registered
// themselves.
func (s *Server) OAuthApps() []OAuthApp {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []OAuthApp
	for _, app := range s.store.oauth.sortedApps(func(*oauthApp) bool { return true }) {
		out = append(out, app.snapshot())
	}
	return out
}

// changeApp applies an edit to the app of a client id.
func (s *Server) changeApp(clientID string, edit func(*oauthApp) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.store.oauth.findApp(clientID)
	if app == nil {
		return fmt.Errorf("app %q: %w", clientID, ErrAppNotFound)
	}
	return edit(app)
}

// DeleteOAuthApp deletes an app with all its codes and tokens (C.3).
func (s *Server) DeleteOAuthApp(clientID string) error {
	return s.changeApp(clientID, func(app *oauthApp) error {
		s.store.deleteApp(app)
		return nil
	})
}

// AddOAuthSecret gives an app one more client secret and returns its id and value.
func (s *Server) AddOAuthSecret(clientID string) (id, value string, err error) {
	err = s.changeApp(clientID, func(app *oauthApp) error {
		full, secret, err := s.addAppSecret(app)
		if err == nil {
			id, value = secret.id, full
		}
		return err
	})
	return id, value, err
}

// DeleteOAuthSecret deletes a client secret with the tokens that were issued under it (C.3).
func (s *Server) DeleteOAuthSecret(clientID, secretID string) error {
	return s.changeApp(clientID, func(app *oauthApp) error {
		s.store.deleteSecret(app, secretID)
		return nil
	})
}

// OAuthGrant is a snapshot of a pair of tokens. It contains no secrets.
type OAuthGrant struct {
	UserID   string `json:"user_id"`
	Username string `json:"username"`
	ClientID string `json:"client_id"`
	// Scopes are the grant's; Key.Scopes, the access token's, may be narrower.
	Scopes   []string `json:"scopes"`
	Resource string   `json:"resource,omitempty"`
	// GrantedAt is when the code was exchanged, RefreshExpiresAt when the current refresh token
	// expires.
	GrantedAt        time.Time `json:"granted_at"`
	RefreshExpiresAt time.Time `json:"refresh_expires_at"`
	// Key is the access token's key.
	Key Key `json:"key"`
}

// OAuthGrants returns the grants that have not been revoked, in the order in which their access
// tokens were created. user (id, username or e-mail) and clientID select grants; "" selects all.
func (s *Server) OAuthGrants(user, clientID string) []OAuthGrant {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.store.purgeKeys(now, s.opts.KeyRetention)
	var out []OAuthGrant
	for _, g := range s.store.oauth.sortedGrants(func(g *oauthGrant) bool {
		return (user == "" || s.findUser(user) == g.key.user) && (clientID == "" || s.store.oauth.findApp(clientID) == g.app)
	}) {
		out = append(out, OAuthGrant{
			UserID: g.key.user.id, Username: g.key.user.username, ClientID: g.app.id, Scopes: slices.Clone(g.scopes),
			Resource: g.audience, GrantedAt: g.grantedAt, RefreshExpiresAt: g.expiresAt, Key: g.key.snapshot(now),
		})
	}
	return out
}

// RevokeOAuthGrant deletes a user's code and tokens for an app, as the user does in the dashboard
// (C.8).
func (s *Server) RevokeOAuthGrant(user, clientID string) error {
	return s.changeApp(clientID, func(app *oauthApp) error {
		u := s.findUser(user)
		if u == nil {
			return fmt.Errorf("user %q: %w", user, ErrUserNotFound)
		}
		if !s.store.dropGrant(u, app) {
			return fmt.Errorf("app %q, user %q: %w", clientID, user, ErrGrantNotFound)
		}
		return nil
	})
}

// ApproveOAuth does what a user does with an authorization URL in a browser: signs in and approves.
// It returns the URL of the client's callback with code and state, or with an error if the server
// reports it there. An error that the server shows on its own page is ErrRefused. The call is
// neither logged nor counted, and no session remains.
func (s *Server) ApproveOAuth(user, authorizationURL string) (string, error) {
	u, err := url.Parse(authorizationURL)
	if err != nil || u.Path != authorizePath {
		return "", fmt.Errorf("authorization URL: %w", ErrInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	who := s.findUser(user)
	if who == nil || !canSignIn(who) {
		return "", fmt.Errorf("user %q: %w", user, ErrUserNotFound)
	}
	if !s.opts.providerOn() {
		return "", fmt.Errorf("the provider is off: %w", ErrRefused)
	}
	session := &apiKey{user: who, scopes: []string{scopeAll}, allowList: []string{allowAll}}
	c := &call{
		Server:  s,
		request: &http.Request{Method: http.MethodPost, URL: u, Header: http.Header{}},
		ex:      &exchange{},
		now:     s.now(),
		header:  http.Header{},
		key:     session,
	}
	a, refused := c.readAuthorization(u.Query())
	if refused != nil && refused.inline {
		return "", fmt.Errorf("%w: %s: %s", ErrRefused, refused.code, refused.description)
	}
	rp := reply{}
	if refused != nil {
		rp = c.refuseAuthorization(a, *refused)
	} else {
		rp = c.issueCode(a)
	}
	if rp.status != http.StatusFound {
		return "", fmt.Errorf("status %d: %w", rp.status, ErrRefused)
	}
	return rp.header.Get("Location"), nil
}

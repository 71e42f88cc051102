// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
)

// errDestinationChanged stops a request that would send what belongs to a registration to a server that
// it is not for. The next pass sees the change.
var errDestinationChanged = errors.New("the registration is not for the server that the deployment leads to now")

// doAsClient makes a call with the session's registration, or what was obtained with it. Nothing is sent
// where the registration's destination does not permit, also if settings change during the call (B73).
func (m *Method) doAsClient(
	ctx context.Context, s *base.Scope, c *grant.Client,
	call func(context.Context, oauth.Provider, oauth.Registration) error,
) error {
	_, err := s.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		if !c.Destination.Permits(grant.DestinationOf(s.Session.DeploymentKey(), resolved.Snapshot)) {
			return &connection.ConfigChangingError{Err: errDestinationChanged}
		}
		return call(ctx, m.oauthProvider(resolved), registrationOf(resolved, c))
	})
	return err
}

// isOfServer reports whether a registration is of the deployment's server, as far as is known, and may be
// sent there (B73).
func isOfServer(s *base.Scope, c *grant.Client) bool {
	return isOf(s, c, s.Conn.VerificationStatus().DeploymentID)
}

func isOf(s *base.Scope, c *grant.Client, server string) bool {
	destination, known := currentDestination(s)
	return known && c.IsOf(server, destination)
}

// currentDestination returns where the requests of the session's deployment go, and false if its settings were
// not read yet.
func currentDestination(s *base.Scope) (grant.Destination, bool) {
	resolved := cmp.Or(s.Resolved, s.Conn.ResolvedClient())
	if resolved == nil {
		return grant.Destination{}, false
	}
	return grant.DestinationOf(s.Session.DeploymentKey(), resolved.Snapshot), true
}

// askWhetherOfServer is isOfServer for a registration that may have to be ended; nil: there is none. It asks the
// server for its id if the deployment was not verified since this process started.
func askWhetherOfServer(ctx context.Context, s *base.Scope, c *grant.Client) (bool, error) {
	if c == nil || s.Conn.VerificationStatus().DeploymentID != "" {
		return c != nil && isOfServer(s, c), nil
	}
	id := ""
	_, err := s.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		build, err := resolved.Client.BuildInfo(ctx)
		id = build.DeploymentID
		return err
	})
	return err == nil && isOf(s, c, id), err
}

// whyReplaced says why a registration is not used any more.
func whyReplaced(c *grant.Client, next grant.Destination) string {
	if c != nil && !c.Destination.Permits(next) {
		return fmt.Sprintf("it is for %s, and not for %s", c.Destination, next)
	}
	return "the OAuth client, its redirect URI or the server has changed"
}

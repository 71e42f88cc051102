// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
)

// errServerChanged aborts requests that would send one server's credentials to another server
// (B73).
var errServerChanged = errors.New(
	"the deployment is at another server than the one that the session is registered with")

// exchangeCode exchanges the code for a grant and stores it. The server is contacted before the
// attempt is spent: if it is unavailable for a moment, the person's consent stays valid.
func (v *attemptHandler) exchangeCode(ctx, short context.Context, state grant.State) outcome {
	// Once the first request was sent, the following ones must not fail on the rate limit: they
	// wait for it longer.
	short = connection.WithLongRateLimitWait(connection.WithPriority(short, connection.First))
	p, err := v.connectProvider(short, state.Client)
	switch {
	case errors.Is(err, errServerChanged):
		return failed
	case err != nil:
		return v.outcomeOf(ctx, err)
	}
	state, err = v.markSpent(short, func(*grant.State, time.Time) {})
	if err != nil {
		return v.outcomeOf(ctx, err)
	}
	attempt := state.Attempt.Attempt
	if v.redirectURI != "" {
		attempt.RedirectURI = v.redirectURI
	}
	var got oauth.Grant
	err = p.callAsClient(short, func(ctx context.Context, provider oauth.Provider, r oauth.Registration) (err error) {
		got, err = provider.Exchange(ctx, p.metadata, r, attempt, v.code)
		return err
	})
	if err != nil {
		v.noteFailure(ctx, err)
		return failed
	}
	if err := v.storeGrant(ctx, p.client.ClientID, got); err != nil {
		log.FromContext(ctx).Error(err, "a grant could not be stored; it is revoked")
		p.revokeGrant(ctx, got)
		return failed
	}
	return done
}

// provider is the OAuth provider of the server that the session is registered with.
type provider struct {
	*Handler
	conn   *connection.Connection
	client *grant.Client
	// deployment is the session's, and destination where its settings lead.
	deployment  types.NamespacedName
	destination grant.Destination
	metadata    oauth.Metadata
}

// connectProvider connects to the session's deployment and checks that it is that server. This
// process may not have used the connection before.
func (v *attemptHandler) connectProvider(ctx context.Context, c *grant.Client) (*provider, error) {
	deployment := &v1alpha1.CoderDeployment{}
	key := v.object.DeploymentKey()
	if err := v.objects.Get(ctx, key, deployment); err != nil {
		return nil, fmt.Errorf("look at deployment %s: %w", key, err)
	}
	p := &provider{Handler: v.Handler, conn: v.pool.Get(key), client: c, deployment: key}
	// While settings are changing they are not resolved here: the controller resolves them once
	// they have settled.
	if p.conn.ResolvedClient() == nil || !p.conn.Settling() {
		if _, err := p.conn.Resolve(ctx, deployment); err != nil {
			return nil, fmt.Errorf("read the settings of deployment %s: %w", client.ObjectKeyFromObject(deployment),
				err)
		}
	}
	_, err := p.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		build, err := resolved.Client.BuildInfo(ctx)
		if err != nil {
			return err
		}
		p.destination = grant.DestinationOf(p.deployment, resolved.Snapshot)
		if !c.IsOf(build.DeploymentID, p.destination) {
			return errServerChanged
		}
		p.metadata, err = oauth.New(resolved.Client, v.clock).Discover(ctx)
		return err
	})
	return p, err
}

// callAsClient calls the provider as the session's client, unless the deployment has changed to
// another server.
func (p *provider) callAsClient(
	ctx context.Context, call func(context.Context, oauth.Provider, oauth.Registration) error,
) error {
	_, err := p.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		if grant.DestinationOf(p.deployment, resolved.Snapshot) != p.destination {
			return errServerChanged
		}
		registration := p.client.Registration
		if shared := resolved.Snapshot.OAuth; shared != nil {
			registration = p.client.With(shared.Secret)
		}
		return call(ctx, oauth.New(resolved.Client, p.clock), registration)
	})
	return err
}

// revokeGrant revokes a grant that could not be stored.
func (p *provider) revokeGrant(ctx context.Context, g oauth.Grant) {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	err := p.callAsClient(ctx, func(ctx context.Context, provider oauth.Provider, r oauth.Registration) error {
		_, err := provider.Revoke(ctx, p.metadata, r, g.AccessToken)
		return err
	})
	if err != nil {
		log.FromContext(ctx).Error(err, "a grant that could not be stored could not be revoked", "token", g.KeyID)
	}
}

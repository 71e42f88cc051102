// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
)

// errMoved is why nothing of one server's is sent to another (B73).
var errMoved = errors.New("the deployment is at another server than the one that the session is registered with")

// redeem exchanges the code for a grant and stores it. The server is looked up before the attempt is spent: one that is
// away for a moment does not cost the person's consent.
func (v *attemptHandler) redeem(ctx, short context.Context, state grant.State) outcome {
	// Once the first request has had its turn, the others wait for theirs.
	short = connection.WithLongRateLimitWait(connection.WithPriority(short, connection.First))
	p, err := v.provider(short, state.Client)
	switch {
	case errors.Is(err, errMoved):
		return failed
	case err != nil:
		return v.stopped(ctx, err)
	}
	state, err = v.spend(short, func(*grant.State, time.Time) {})
	if err != nil {
		return v.stopped(ctx, err)
	}
	attempt := state.Attempt.Attempt
	if v.redirectURI != "" {
		attempt.RedirectURI = v.redirectURI
	}
	var got oauth.Grant
	err = p.do(short, func(ctx context.Context, provider oauth.Provider, r oauth.Registration) (err error) {
		got, err = provider.Exchange(ctx, p.metadata, r, attempt, v.code)
		return err
	})
	if err != nil {
		v.noteFailure(ctx, err)
		return failed
	}
	if err := v.store(ctx, p.client.ClientID, got); err != nil {
		log.FromContext(ctx).Error(err, "a grant could not be stored; it is revoked")
		p.discard(ctx, got)
		return failed
	}
	return done
}

// provider is a server that was found to be the one that the session is registered with.
type provider struct {
	*Handler
	conn     *connection.Connection
	client   *grant.Client
	origin   string
	metadata oauth.Metadata
}

// provider connects to the session's deployment. The operator may have made no other request to it in this process.
func (v *attemptHandler) provider(ctx context.Context, c *grant.Client) (*provider, error) {
	deployment := &v1alpha1.CoderDeployment{}
	key := v.object.DeploymentKey()
	if err := v.objects.Get(ctx, key, deployment); err != nil {
		return nil, fmt.Errorf("look at deployment %s: %w", key, err)
	}
	p := &provider{Handler: v.Handler, conn: v.pool.Get(key), client: c}
	// Settings that are changing are read by whoever waits until they are quiet.
	if p.conn.ResolvedClient() == nil || !p.conn.Settling() {
		if _, err := p.conn.Resolve(ctx, deployment); err != nil {
			return nil, fmt.Errorf("read the settings of deployment %s: %w", client.ObjectKeyFromObject(deployment), err)
		}
	}
	_, err := p.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
		build, err := line.Client.BuildInfo(ctx)
		if err != nil {
			return err
		}
		if build.DeploymentID != c.Server {
			return errMoved
		}
		p.origin = line.Snapshot.URL.String()
		p.metadata, err = oauth.New(line.Client, v.clock).Discover(ctx)
		return err
	})
	return p, err
}

// do makes a call as the session's client, of which only that server hears.
func (p *provider) do(ctx context.Context, call func(context.Context, oauth.Provider, oauth.Registration) error) error {
	_, err := p.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
		if line.Snapshot.URL.String() != p.origin {
			return errMoved
		}
		registration := p.client.Registration
		if shared := line.Snapshot.OAuth; shared != nil {
			registration = p.client.With(shared.Secret)
		}
		return call(ctx, oauth.New(line.Client, p.clock), registration)
	})
	return err
}

// discard revokes a grant that nobody will know of.
func (p *provider) discard(ctx context.Context, g oauth.Grant) {
	ctx, cancel := context.WithTimeout(ctx, discarding)
	defer cancel()
	err := p.do(ctx, func(ctx context.Context, provider oauth.Provider, r oauth.Registration) error {
		_, err := provider.Revoke(ctx, p.metadata, r, g.AccessToken)
		return err
	})
	if err != nil {
		log.FromContext(ctx).Error(err, "a grant that could not be stored could not be revoked", "token", g.KeyID)
	}
}

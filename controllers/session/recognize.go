// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// recognizeToken finds out by its value which minted token a Secret publishes whose annotations do not
// describe it, because another writer has removed them, or because they were written with another key.
// It is not gone then, but the server has to confirm it: the value may have been edited.
func (r *Reconciler) recognizeToken(
	ctx context.Context, s *Scope, input *secret.Input, seen *session.Secret,
) error {
	if s.Session.Spec.Auth.Mint == nil {
		return nil
	}
	values, err := r.tools.Secrets.TokenValues(ctx, s.Session)
	if err != nil {
		return fmt.Errorf("read the token of the generated Secret: %w", err)
	}
	for _, value := range values {
		id, err := coder.TokenID(value)
		if err != nil {
			continue
		}
		token := r.describeByID(s, id)
		if token == nil {
			seen.HeldID = id
			continue
		}
		token.Fingerprint = secret.TokenFingerprint(r.tools.Key, value)
		s.Prior.Token = token
		input.Token = PublishedToken(token)
		input.Token.Value = value
		seen.Token, seen.Corrupt, seen.ValueGone, seen.Unconfirmed = publishedOf(token), "", false, true
		return nil
	}
	return nil
}

// describeByID describes a token as the annotations should, from what is known of it otherwise. Nil: it
// is not a token that was minted for the session as it is now.
func (r *Reconciler) describeByID(s *Scope, id string) *secret.TokenMeta {
	if written := s.Memory.written; written.ID == id {
		return &written
	}
	if known := s.Prior.Token; known != nil && known.ID == id {
		described := *known
		return &described
	}
	if s.Conn == nil {
		return nil
	}
	if s.Session.Status.ObservedGeneration != s.Session.Generation {
		return nil // it may be for the spec before
	}
	digest := session.SpecDigest(s.Session.Spec.Auth.Mint, s.Conn.VerificationStatus().DeploymentID)
	if known := s.Session.Status.Token; known != nil && known.ID == id && known.Serial > 0 {
		described := secret.TokenMeta{ID: id, Serial: known.Serial, Request: digest}
		if known.ExpirationTime != nil {
			described.ExpiresAt = known.ExpirationTime.UTC()
		}
		return &described
	}
	listed, found := s.Conn.Inventory.Lookup(id)
	if serial, ours := r.tools.Names.Serial(listed.Name, string(s.Session.UID)); found && ours {
		return &secret.TokenMeta{ID: id, Serial: serial, ExpiresAt: listed.ExpiresAt.UTC(), Request: digest}
	}
	return nil
}

// correctDescription replaces what the annotations say about the token that this process has written, if
// another writer has changed them.
func (s *Scope) correctDescription(input *secret.Input, seen *session.Secret) {
	written, found := s.Memory.written, s.Prior.Token
	if written.ID != found.ID || written.Serial == found.Serial && written.Request == found.Request &&
		written.ExpiresAt.Truncate(time.Second).Equal(found.ExpiresAt) {
		return
	}
	written.Fingerprint, written.ExpiresAt = found.Fingerprint, written.ExpiresAt.UTC().Truncate(time.Second)
	s.Prior.Token, seen.Token = &written, publishedOf(&written)
	input.Token = PublishedToken(&written)
}

// publishedOf returns what decisions know of a published token.
func publishedOf(token *secret.TokenMeta) *session.Published {
	return &session.Published{
		ID: token.ID, Serial: token.Serial, ExpiresAt: token.ExpiresAt,
		SpecDigest: token.Request, Fingerprint: token.Fingerprint,
	}
}

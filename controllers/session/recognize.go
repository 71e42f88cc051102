// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// Recognizer is a [Method] that knows the tokens that it has published by their ids.
type Recognizer interface {
	// DescribeToken describes a token as the annotations of the Secret should, from status. Nil: it is not a
	// token that was minted for the session as it is now.
	DescribeToken(s *Scope, id string) *secret.TokenMeta
	// Knows reports whether status, or the server's list, say that a token is the session's. Annotations
	// may be forged.
	Knows(s *Scope, id string) bool
}

// recognizeToken finds out by its value which minted token a Secret publishes whose annotations do not
// describe it, because another writer has removed them, or because they were written with another key.
// It is not gone then, but the server has to confirm it. A value that is not proven to be the session's is
// not sent to the session's server, whatever that lists: the Secret may hold the token of another server.
func (r *Reconciler) recognizeToken(
	ctx context.Context, s *Scope, input *secret.Input, seen *session.Secret,
) error {
	method, canRecognize := r.methods.of(s.Session).(Recognizer)
	if !canRecognize {
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
		token := describeByID(s, method, id)
		if token == nil || !r.isProven(s, value, id) {
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
	if token := s.Prior.Token; token != nil && token.ID != s.Memory.written.ID && !method.Knows(s, token.ID) {
		s.Prior.Token, seen.Token, input.Token = nil, nil, secret.Token{} // neither value nor description are the session's
	}
	return nil
}

// isDescribed reports whether a value is that of the token that the annotations name, and whether they
// describe it as this session's.
func (r *Reconciler) isDescribed(s *Scope, value redact.Secret) bool {
	if _, canRecognize := r.methods.of(s.Session).(Recognizer); !canRecognize {
		return true
	}
	id, err := coder.TokenID(value)
	if err != nil || id != s.Prior.Token.ID {
		return false
	}
	bound := secret.MintedFingerprint(r.tools.Key, s.Session.UID, value)
	return s.Prior.Token.Fingerprint == bound || r.isProven(s, value, id) || r.isOfEarlierVersion(s)
}

// isProven reports whether the value of a minted token is known to be the session's own, whatever the
// annotations and the server say, both of which another tenant may choose: this process has written it, or
// the Secret is as it was when status recorded its version, with the token that status names.
func (r *Reconciler) isProven(s *Scope, value redact.Secret, id string) bool {
	written := s.Memory.written.Fingerprint
	if written != "" && written == secret.TokenFingerprint(r.tools.Key, value) {
		return true
	}
	reported, token := s.Session.Status.Secret, s.Session.Status.Token
	return reported != nil && reported.ResourceVersion != "" && reported.ResourceVersion == s.Prior.ResourceVersion &&
		token != nil && token.ID == id
}

// isOfEarlierVersion reports whether the annotations are those that a version which did not write the
// session's UID into the fingerprint of the token wrote for this session as it is now.
func (r *Reconciler) isOfEarlierVersion(s *Scope) bool {
	return r.isAsWritten(s, r.tools.SecretInput(s, PublishedToken(s.Prior.Token)))
}

// describeByID describes a token as the annotations should, from what is known of it otherwise. Nil: it
// is not a token that was minted for the session as it is now.
func describeByID(s *Scope, method Recognizer, id string) *secret.TokenMeta {
	if written := s.Memory.written; written.ID == id {
		return &written
	}
	if known := s.Prior.Token; known != nil && known.ID == id && method.Knows(s, id) {
		described := *known
		return &described
	}
	return method.DescribeToken(s, id)
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

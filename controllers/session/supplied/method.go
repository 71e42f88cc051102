// SPDX-License-Identifier: Apache-2.0

package supplied

import (
	"context"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// Method is auth.token. Create it with [New].
type Method struct{ tools *base.Tools }

// New returns the method.
func New(tools *base.Tools) *Method { return &Method{tools: tools} }

func memoryOf(s *base.Scope) *memory { return s.Memory.Of(v1alpha1.AuthToken).(*memory) }

// NewMemory returns an empty memory.
func (*Method) NewMemory() any { return &memory{} }

// Observe adds the supplied token.
func (m *Method) Observe(ctx context.Context, s *base.Scope, o *session.Observation) (err error) {
	o.SuppliedToken, err = m.observeSource(ctx, s)
	return err
}

// Actions returns none: a supplied token needs no action of its own.
func (*Method) Actions() map[session.Action]base.Action { return nil }

// Credential returns the supplied token, or none if it is empty.
func (m *Method) Credential(
	ctx context.Context, s *base.Scope, o session.Observation,
) (base.Credential, error) {
	if o.SuppliedToken.Empty {
		return base.FixedToken{}, nil
	}
	source, value, _, err := m.readSource(ctx, s)
	if err != nil {
		return nil, err
	}
	if source.Fingerprint != o.SuppliedToken.Fingerprint {
		*memoryOf(s) = memory{} // the supplied token has changed: read it again
	}
	read := func(ctx context.Context) (session.SuppliedToken, redact.Secret, error) {
		next, value, _, err := m.readSource(ctx, s)
		if next.Fingerprint != source.Fingerprint {
			*memoryOf(s) = memory{}
		}
		return next, value, err
	}
	return &credential{source: source, value: value, read: read}, nil
}

// credential is a supplied token. If it is rejected, the Secret is read again: it may have been
// updated with another one meanwhile.
type credential struct {
	read  func(context.Context) (session.SuppliedToken, redact.Secret, error)
	value redact.Secret
	// source that value belongs to.
	source session.SuppliedToken
}

// Token returns the token to call with.
func (c *credential) Token() redact.Secret { return c.value }

// Fingerprint is that of the token that was last sent.
func (c *credential) Fingerprint() string { return c.source.Fingerprint }

// Refresh reads the token again and reports whether it has changed.
func (c *credential) Refresh(ctx context.Context) (bool, error) {
	source, value, err := c.read(ctx)
	if err != nil || source.Problem != "" || source.Fingerprint == c.source.Fingerprint {
		return false, err
	}
	c.source, c.value = source, value
	return true, nil
}

// Describe adds the token's expiration and scopes. They stay unknown if the scopes of the token do
// not allow it to read itself.
func (c *credential) Describe(ctx context.Context, client *coder.Client, check *session.CredentialCheck) {
	if token, err := client.Token(ctx, check.User.ID, c.source.ID); err == nil {
		check.ExpiresAt, check.Scopes = token.ExpiresAt, token.Scopes
	}
}

// TokenToPublish returns the token that the server has just accepted, or none if it is empty.
func (m *Method) TokenToPublish(ctx context.Context, s *base.Scope, o session.Observation) (secret.Token, error) {
	if o.SuppliedToken.Empty {
		return secret.Token{Serial: s.LastSerial()}, nil
	}
	source, value, _, err := m.readSource(ctx, s)
	if err != nil {
		return secret.Token{}, err
	}
	if source.Fingerprint != s.Memory.Check.Credential {
		*memoryOf(s) = memory{}
		return secret.Token{}, base.Outdated("the supplied token has changed")
	}
	return secret.Token{
		Value: value, ID: source.ID, Serial: s.LastSerial(), ExpiresAt: s.Memory.Check.ExpiresAt,
	}, nil
}

// SendsToken returns true.
func (*Method) SendsToken() bool { return true }

// Username returns the user that the server named.
func (*Method) Username(s *base.Scope) string { return s.CheckedUsername() }

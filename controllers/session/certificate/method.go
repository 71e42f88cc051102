// SPDX-License-Identifier: Apache-2.0

package certificate

import (
	"context"

	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// Method is auth.certificate. Its zero value is ready to use.
type Method struct{}

// NewMemory returns nil: nothing is remembered.
func (Method) NewMemory() any { return nil }

// Observe adds nothing: the deployment's verification says all.
func (Method) Observe(context.Context, *base.Scope, *session.Observation) error { return nil }

// Actions returns none.
func (Method) Actions() map[session.Action]base.Action { return nil }

// Credential returns none: the connection identifies the caller.
func (Method) Credential(context.Context, *base.Scope, session.Observation) (base.Credential, error) {
	return base.FixedToken{}, nil
}

// TokenToPublish returns no token.
func (Method) TokenToPublish(_ context.Context, s *base.Scope, _ session.Observation) (secret.Token, error) {
	return secret.Token{Serial: s.LastSerial()}, nil
}

// SendsToken returns false.
func (Method) SendsToken() bool { return false }

// Username returns the user that the server named.
func (Method) Username(s *base.Scope) string {
	if s.Memory.Check.User != nil {
		return s.Memory.Check.User.Username
	}
	if s.Conn != nil && s.Conn.VerificationStatus().User != nil {
		return s.Conn.VerificationStatus().User.Username
	}
	return s.CheckedUsername()
}

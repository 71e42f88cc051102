// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"slices"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

var _ base.Recognizer = (*Method)(nil)

// DescribeToken describes a token that status names.
func (*Method) DescribeToken(s *base.Scope, id string) *secret.TokenMeta {
	if s.Conn == nil {
		return nil
	}
	if s.Session.Status.ObservedGeneration != s.Session.Generation {
		return nil // it may be for the spec before
	}
	known := s.Session.Status.Token
	if known == nil || known.ID != id || known.Serial <= 0 {
		return nil
	}
	digest := session.SpecDigest(s.Session.Spec.Auth.Mint, s.Conn.VerificationStatus().DeploymentID)
	described := secret.TokenMeta{ID: id, Serial: known.Serial, Request: digest}
	if known.ExpirationTime != nil {
		described.ExpiresAt = known.ExpirationTime.UTC()
	}
	return &described
}

// Knows reports whether status names a token, or the server lists it for the session's user with a name that
// the operator gives.
func (m *Method) Knows(s *base.Scope, id string) bool {
	switch {
	case isNamedByStatus(s, id):
		return true
	case s.Conn == nil:
		return false
	}
	listed, found := s.Conn.Inventory.Lookup(id)
	_, ours := m.tools.Names.SerialOfAny(listed.Name, string(s.Session.UID))
	return found && ours && isOfSessionUser(s, listed)
}

// isNamedByStatus reports whether status names a token, as the published one or as one to be revoked.
func isNamedByStatus(s *base.Scope, id string) bool {
	status := s.Session.Status
	pending := func(r v1alpha1.PendingRevocation) bool { return r.ID == id }
	return status.Token != nil && status.Token.ID == id || slices.ContainsFunc(status.PendingRevocations, pending)
}

// SPDX-License-Identifier: Apache-2.0

package mint

import (
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

var _ base.Recognizer = (*Method)(nil)

// DescribeToken describes a token that status names, or that the server lists with a name that the
// operator gives.
func (m *Method) DescribeToken(s *base.Scope, id string) *secret.TokenMeta {
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
	if serial, ours := m.tools.Names.Serial(listed.Name, string(s.Session.UID)); found && ours {
		return &secret.TokenMeta{ID: id, Serial: serial, ExpiresAt: listed.ExpiresAt.UTC(), Request: digest}
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// isForeign reports whether another operator with the same cluster id, or the user, has created a token
// with a name of this session. What status names is the session's own. Once status says that there is
// another operator, every token that this process did not ask for is foreign, so that a restart does not
// change that.
func (m *Method) isForeign(s *base.Scope, token coder.Token) bool {
	if isNamedByStatus(s, token.ID) {
		return false
	}
	if meta.IsStatusConditionFalse(s.Session.Status.Conditions, v1alpha1.ConditionIdentityUnique) {
		return s.Conn.Inventory.IsUnknown(token)
	}
	return s.Conn.Inventory.IsForeign(token)
}

// isOfSessionUser reports whether a token belongs to the user that the session's tokens are minted for, as
// far as that is known. Names are unique for each user only, and users choose those of their own tokens:
// what another user's token is named tells nothing of the session.
func isOfSessionUser(s *base.Scope, token coder.Token) bool {
	user := s.Session.Status.User
	return user != nil && token.UserID == user.ID
}

// isTakenByOther is isForeign for a token that has the name of the one to mint. The next attempt uses
// another name then, also if nothing else tells of the token because it has expired.
func (m *Method) isTakenByOther(s *base.Scope, token coder.Token) bool {
	if !m.isForeign(s, token) {
		return false
	}
	m.recordTakenName(s, token.Name)
	return true
}

// recordTakenName makes the next attempt use another name.
func (m *Method) recordTakenName(s *base.Scope, name string) {
	serial, _ := m.tools.Names.Serial(name, string(s.Session.UID))
	of(s).takenSerial = max(of(s).takenSerial, serial)
}

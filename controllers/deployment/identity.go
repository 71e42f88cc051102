// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// isForeign reports whether another operator with the same cluster id has minted a token, which is left
// alone then. Once status says that there is one, every token that this process did not ask for is
// foreign, so that a restart does not change that.
func (r *Reconciler) isForeign(s *scope, token coder.Token) bool {
	if token.ID == s.memory.verified.Token.ID {
		return false
	}
	if meta.IsStatusConditionFalse(s.object.Status.Conditions, v1alpha1.ConditionIdentityUnique) {
		return s.conn.Inventory.IsUnknown(token)
	}
	return s.conn.Inventory.IsForeign(token)
}

// isTakenByOther is isForeign for a token that has the name of the one to mint. The next attempt uses
// another name then, also if nothing else tells of the token because it has expired.
func (r *Reconciler) isTakenByOther(s *scope, token coder.Token) bool {
	if !r.isForeign(s, token) {
		return false
	}
	serial, _ := r.o.Names.Serial(token.Name, string(s.object.UID))
	s.memory.takenSerial = max(s.memory.takenSerial, serial)
	return true
}

// lastOwnSerial is the highest serial of the operator's own tokens that is used: that of the current one,
// 0 if the operator did not mint it, and those of another operator.
func (r *Reconciler) lastOwnSerial(s *scope) int64 {
	uid := string(s.object.UID)
	serial, _ := r.o.Names.Serial(s.memory.verified.Token.Name, uid)
	serial = max(serial, s.memory.takenSerial)
	for _, token := range s.conn.Inventory.WithPrefix(r.o.Names.SessionPrefix(uid)) {
		mine := token.UserID == s.memory.verified.User.ID // names are unique for each user only
		if taken, ok := r.o.Names.Serial(token.Name, uid); ok && mine && r.isForeign(s, token) {
			serial = max(serial, taken)
		}
	}
	return serial
}

// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"maps"
	"slices"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// isForeign reports whether another operator with the same cluster id, or a user, has created a token,
// which is left alone then. After a restart those that this process did not ask for are foreign only if
// status names them, or others of the same session.
func (r *Reconciler) isForeign(s *scope, token coder.Token) bool {
	if token.ID == s.memory.verified.Token.ID {
		return false
	}
	if r.isNamedForeign(s, token) {
		return s.conn.Inventory.IsUnknown(token)
	}
	return s.conn.Inventory.IsForeign(token)
}

// isNamedForeign reports whether status names a foreign token of the same session as that of a token.
func (r *Reconciler) isNamedForeign(s *scope, token coder.Token) bool {
	prefix, ours := r.o.Names.SessionPrefixOf(token.Name)
	return ours && slices.ContainsFunc(s.object.Status.ForeignTokens, func(name string) bool {
		named, _ := r.o.Names.SessionPrefixOf(name)
		return named == prefix
	})
}

// isOfOperatorUser reports whether a token belongs to the operator's own user. Names are unique for each
// user only, and users choose those of their own tokens.
func (s *scope) isOfOperatorUser(token coder.Token) bool {
	user := s.memory.verified.User
	return user != nil && token.UserID == user.ID
}

// isOfMintedUser reports whether a token belongs to a user that the operator mints tokens with such a name
// for: its own user, or that of a session. Another user's token tells nothing of another operator.
func (r *Reconciler) isOfMintedUser(s *scope, token coder.Token) bool {
	if prefix, _ := r.o.Names.SessionPrefixOf(token.Name); prefix == r.o.Names.SessionPrefix(string(s.object.UID)) {
		return s.isOfOperatorUser(token)
	}
	return s.mintedUsers[token.UserID]
}

// servedUsers are the ids of the users that tokens are minted for, and of the operator's own.
func (s *scope) servedUsers() map[string]bool {
	served := maps.Clone(s.mintedUsers)
	if user := s.memory.verified.User; user != nil {
		served[user.ID] = true
	}
	return served
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

// nextOwnSerial is the serial of the operator's next own token: the first one after the current token's
// whose name no other operator has taken. Without a current token that the operator minted it is 1.
func (r *Reconciler) nextOwnSerial(s *scope) int64 {
	uid := string(s.object.UID)
	last, _ := r.o.Names.Serial(s.memory.verified.Token.Name, uid)
	next := max(last, s.memory.takenSerial) + 1
	taken := map[int64]bool{}
	for _, token := range s.conn.Inventory.WithPrefix(r.o.Names.SessionPrefix(uid)) {
		if serial, ok := r.o.Names.Serial(token.Name, uid); ok && s.isOfOperatorUser(token) && r.isForeign(s, token) {
			taken[serial] = true
		}
	}
	for taken[next] {
		next++
	}
	return next
}

// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"runtime"
	"slices"
	"sync"
	"weak"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// sharedTokens keeps each token once, however many inventories list it: CoderDeployments of many namespaces
// may have the same server. It keeps no token alive. The zero value is empty. It is safe for concurrent use.
type sharedTokens struct {
	mu     sync.Mutex
	latest map[string]weak.Pointer[coder.Token] // by id
}

// share returns the copy that other inventories have of a token, or a new one for them. It must not be
// modified. A token that differs in anything, such as one of another server with the same ID, is another
// one.
func (s *sharedTokens) share(token *coder.Token) *coder.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.latest[token.ID].Value(); known != nil && isSame(known, token) {
		return known
	}
	if s.latest == nil {
		s.latest = map[string]weak.Pointer[coder.Token]{}
	}
	added := new(coder.Token)
	*added = *token
	entry := sharedEntry{token.ID, weak.Make(added)}
	s.latest[entry.id] = entry.token
	runtime.AddCleanup(added, s.forget, entry)
	return added
}

// sharedEntry is an entry of the map.
type sharedEntry struct {
	id    string
	token weak.Pointer[coder.Token]
}

// forget removes a token that no inventory has any more.
func (s *sharedTokens) forget(gone sharedEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest[gone.id] == gone.token {
		delete(s.latest, gone.id)
	}
}

// isSame reports whether two tokens are the same in everything.
func isSame(a, b *coder.Token) bool {
	return a.ID == b.ID && a.UserID == b.UserID && a.Username == b.Username && a.Name == b.Name &&
		a.LoginType == b.LoginType && a.LimitsLeftOut == b.LimitsLeftOut &&
		slices.Equal(a.Scopes, b.Scopes) && slices.Equal(a.AllowList, b.AllowList) &&
		a.CreatedAt.Equal(b.CreatedAt) && a.ExpiresAt.Equal(b.ExpiresAt) && a.LastUsed.Equal(b.LastUsed) &&
		a.Lifetime == b.Lifetime
}

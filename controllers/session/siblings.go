// SPDX-License-Identifier: Apache-2.0

package session

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Siblings are the sessions of pods that this process has created itself. No other process can have
// minted a token for one of them. It may be lost at any time: the cost is one more request for each. It
// remembers nothing but what sessions are there for. Create it with [NewSiblings]. It is safe for
// concurrent use.
type Siblings struct {
	mu sync.Mutex
	// created are the UIDs of the sessions.
	created map[types.NamespacedName]types.UID
}

// NewSiblings returns an empty Siblings.
func NewSiblings() *Siblings { return &Siblings{created: map[types.NamespacedName]types.UID{}} }

// RecordCreated remembers that this process has created the session of a pod.
func (b *Siblings) RecordCreated(s *v1alpha1.CoderSession) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.created[client.ObjectKeyFromObject(s)] = s.UID
}

// Created reports whether this process has created a session.
func (b *Siblings) Created(s *v1alpha1.CoderSession) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	uid, found := b.created[client.ObjectKeyFromObject(s)]
	return found && uid == s.UID
}

// forget drops a session that is gone. One of its name that was created since, which has replaced it,
// stays.
func (b *Siblings) forget(key types.NamespacedName, replaced bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !replaced {
		delete(b.created, key)
	}
}

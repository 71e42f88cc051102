// SPDX-License-Identifier: Apache-2.0

package session

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// Siblings is what the sessions of pods know of each other. It may be lost at any time: the cost is one
// more request for each. Create it with [NewSiblings]. It is safe for concurrent use.
type Siblings struct {
	mu sync.Mutex
	// accepted are the parents of sessions whose Secret the API server has created, and refused none
	// since. Another one need not be tried first then.
	accepted map[types.NamespacedName]bool
	// created are the sessions that this process has created itself. No other process can have minted a
	// token for one of them.
	created map[types.UID]bool
}

// NewSiblings returns an empty Siblings.
func NewSiblings() *Siblings {
	return &Siblings{accepted: map[types.NamespacedName]bool{}, created: map[types.UID]bool{}}
}

// RecordCreated remembers that this process has created the session of a pod.
func (b *Siblings) RecordCreated(uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.created[uid] = true
}

// Created reports whether this process has created a session.
func (b *Siblings) Created(uid types.UID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.created[uid]
}

// forget drops a session that is gone.
func (b *Siblings) forget(uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.created, uid)
}

// recordWrite remembers whether the API server has taken a Secret. It is for sessions of pods only.
func (b *Siblings) recordWrite(s *v1alpha1.CoderSession, accepted bool) {
	parent := podsession.Parent(s)
	if parent.Name == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if accepted {
		b.accepted[parent] = true
	} else {
		delete(b.accepted, parent)
	}
}

// accepts reports whether the API server took the Secret of another pod of the same parent last.
func (b *Siblings) accepts(s *v1alpha1.CoderSession) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepted[podsession.Parent(s)]
}

// forgetParent drops a parent that is gone.
func (b *Siblings) forgetParent(key types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.accepted, key)
}

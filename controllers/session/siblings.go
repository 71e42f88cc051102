// SPDX-License-Identifier: Apache-2.0

package session

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// Siblings is what the sessions of pods know of each other. It may be lost at any time: the cost is one
// more request for each. It remembers nothing but what sessions are there for. Create it with
// [NewSiblings]. It is safe for concurrent use.
type Siblings struct {
	mu sync.Mutex
	// accepted are the sessions whose Secret the API server has created last, by their parents, if it has
	// refused none since. Another one need not be tried first then.
	accepted map[types.NamespacedName]types.NamespacedName
	// parents are those in accepted, by the sessions.
	parents map[types.NamespacedName]types.NamespacedName
	// created are the UIDs of the sessions that this process has created itself. No other process can have
	// minted a token for one of them.
	created map[types.NamespacedName]types.UID
}

// NewSiblings returns an empty Siblings.
func NewSiblings() *Siblings {
	return &Siblings{
		accepted: map[types.NamespacedName]types.NamespacedName{},
		parents:  map[types.NamespacedName]types.NamespacedName{},
		created:  map[types.NamespacedName]types.UID{},
	}
}

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

// recordWrite remembers whether the API server has taken a Secret. It is for sessions of pods only.
func (b *Siblings) recordWrite(s *v1alpha1.CoderSession, accepted bool) {
	parent := podsession.Parent(s)
	if parent.Name == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear(parent)
	if accepted {
		key := client.ObjectKeyFromObject(s)
		b.clear(b.parents[key]) // it is of another parent now
		b.accepted[parent], b.parents[key] = key, parent
	}
}

// clear forgets that a Secret of a parent was taken. mu must be held.
func (b *Siblings) clear(parent types.NamespacedName) {
	delete(b.parents, b.accepted[parent])
	delete(b.accepted, parent)
}

// accepts reports whether the API server took the Secret of another pod of the same parent last.
func (b *Siblings) accepts(s *v1alpha1.CoderSession) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, found := b.accepted[podsession.Parent(s)]
	return found
}

// forget drops a session that is gone. One of its name that was created since, which has replaced it,
// stays.
func (b *Siblings) forget(key types.NamespacedName, replaced bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear(key) // a parent
	b.clear(b.parents[key])
	if !replaced {
		delete(b.created, key)
	}
}

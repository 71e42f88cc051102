// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Observe is [StateOf] for metadata from a cache (nil if the object is not there). The Store's last
// write takes precedence until the cache has caught up with it.
func (s *Store) Observe(session *v1alpha1.CoderSession, meta *metav1.PartialObjectMetadata) State {
	newest, absent := s.memory.newerThanCache(keyOf(session), meta)
	switch {
	case absent:
		return State{}
	case newest != nil:
		state := stateOf(newest, session)
		state.Written = true
		return state
	}
	state := StateOf(meta, session)
	state.Written = meta != nil && s.Own(meta)
	return state
}

// Own reports whether meta is exactly what this Store wrote last, so that the event can be ignored.
// It must be called for every event, because a later write by others ends the memory.
func (s *Store) Own(meta *metav1.PartialObjectMetadata) bool {
	return s.memory.isOwnWrite(types.NamespacedName{Namespace: meta.Namespace, Name: meta.Name}, &meta.ObjectMeta)
}

// Forget drops what is remembered about the Secret of a session that is gone, by the session's name.
func (s *Store) Forget(session types.NamespacedName) { s.memory.dropEntry(session) }

// memory holds the last write of each Secret, by name.
type memory struct {
	mu      *sync.Mutex
	entries map[types.NamespacedName]entry
	// secrets are the names of the Secrets, by those of their sessions.
	secrets map[types.NamespacedName]types.NamespacedName
}

// entry is one write.
//
//	recordWrite ────► ahead ──cache or event shows this version──► level
//	                    └─────cache shows a newer one, or a live read another──────────► dropped
//	                                     level ──cache shows another or none───────────► dropped
//	recordDeletion ─► ahead ──cache shows none, a newer one, or this one being deleted─► dropped
type entry struct {
	uid             types.UID
	resourceVersion string
	gone            bool
	// meta is nil after a deletion, and once the cache is level. isOwnWrite still knows the version
	// then, while the event is on its way.
	meta *metav1.ObjectMeta
}

func newMemory() memory {
	return memory{
		mu: &sync.Mutex{}, entries: map[types.NamespacedName]entry{},
		secrets: map[types.NamespacedName]types.NamespacedName{},
	}
}

func (m memory) recordWrite(session *v1alpha1.CoderSession, meta *metav1.ObjectMeta) {
	kept := meta.DeepCopy()
	kept.ManagedFields = nil
	m.storeEntry(session, entry{uid: meta.UID, resourceVersion: meta.ResourceVersion, meta: kept})
}

func (m memory) recordDeletion(session *v1alpha1.CoderSession, prior State) {
	m.storeEntry(session, entry{uid: prior.UID, resourceVersion: prior.ResourceVersion, gone: true})
}

// storeEntry keeps the newer one of two writes that end at the same time.
func (m memory) storeEntry(session *v1alpha1.CoderSession, e entry) {
	key := keyOf(session)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secrets[client.ObjectKeyFromObject(session)] = key
	if old, found := m.entries[key]; found && isOlder(e.resourceVersion, old.resourceVersion) {
		return
	}
	m.entries[key] = e
}

func (m memory) dropEntry(session types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, m.secrets[session])
	delete(m.secrets, session)
}

// newerThanCache returns what is remembered, if it is newer than what the cache shows: the
// metadata, or that the object was deleted.
func (m memory) newerThanCache(
	key types.NamespacedName, cached *metav1.PartialObjectMetadata,
) (meta *metav1.ObjectMeta, absent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, found := m.entries[key]
	if !found {
		return nil, false
	}
	if cached == nil {
		if e.meta != nil {
			return e.meta, false // the cache has not seen the creation yet
		}
		delete(m.entries, key)
		return nil, false
	}
	switch {
	case e.hasCaughtUp(&cached.ObjectMeta):
		delete(m.entries, key)
		return nil, false
	case e.gone:
		return nil, true
	case cached.ResourceVersion == e.resourceVersion:
		e.meta = nil
		m.entries[key] = e
		return nil, false
	}
	return e.meta, false
}

func (m memory) isOwnWrite(key types.NamespacedName, meta *metav1.ObjectMeta) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, found := m.entries[key]
	if !found {
		return false
	}
	if e.hasCaughtUp(meta) {
		delete(m.entries, key)
		return false
	}
	own := !e.gone && meta.UID == e.uid && meta.ResourceVersion == e.resourceVersion
	if own && e.meta != nil {
		// The event arrives after the cache was updated: if the cache shows no Secret from now on, it was
		// deleted.
		e.meta = nil
		m.entries[key] = e
	}
	return own
}

// recordLive corrects the memory after a read from the API server. Nil: the object does not exist.
func (m memory) recordLive(key types.NamespacedName, live *metav1.ObjectMeta) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, found := m.entries[key]
	if !found {
		return
	}
	if live == nil {
		if !e.gone {
			delete(m.entries, key)
		}
		return
	}
	if e.hasCaughtUp(live) {
		delete(m.entries, key)
	}
}

// hasCaughtUp reports whether seen is at least as new as the write. It returns true if versions
// cannot be compared: a write based on old data then fails by its precondition.
func (e entry) hasCaughtUp(seen *metav1.ObjectMeta) bool {
	if e.gone && seen.UID == e.uid {
		return seen.DeletionTimestamp != nil // waits for a finalizer
	}
	order, err := resourceversion.CompareResourceVersion(seen.ResourceVersion, e.resourceVersion)
	return err != nil || order > 0
}

func isOlder(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Observe is [StateOf] for metadata from a cache, nil where it shows no object: what
// this Store wrote last counts until the cache has caught up with it.
func (s *Store) Observe(session *v1alpha1.CoderSession, meta *metav1.PartialObjectMetadata) State {
	newest, absent := s.memory.newer(keyOf(session), meta)
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

// Own reports whether meta is exactly what this Store wrote last, so that the event
// that it comes with tells nothing new. It is to be asked about every event: what
// others wrote later ends the memory.
func (s *Store) Own(meta *metav1.PartialObjectMetadata) bool {
	return s.memory.own(types.NamespacedName{Namespace: meta.Namespace, Name: meta.Name}, &meta.ObjectMeta)
}

// Forget drops what is remembered of a session's Secret, for a session that is gone.
func (s *Store) Forget(session *v1alpha1.CoderSession) { s.memory.forget(keyOf(session)) }

// memory is what was written last, by the Secret's name.
type memory struct {
	mu      *sync.Mutex
	entries map[types.NamespacedName]entry
}

// entry is one write.
//
//	wrote ──► ahead ──cache or event shows this version──► level ──cache shows another or none──► dropped
//	           └──────────cache shows a newer one, or a live read another──────────────► dropped
//	deleted ─► ahead ──cache shows none, a newer one, or this one being deleted────────► dropped
type entry struct {
	uid             types.UID
	resourceVersion string
	gone            bool
	// meta is nil for a deletion, and once the cache is level: own still knows the
	// version then, while the event is under way.
	meta *metav1.ObjectMeta
}

func newMemory() memory {
	return memory{mu: &sync.Mutex{}, entries: map[types.NamespacedName]entry{}}
}

func (m memory) wrote(key types.NamespacedName, meta *metav1.ObjectMeta) {
	kept := meta.DeepCopy()
	kept.ManagedFields = nil
	m.set(key, entry{uid: meta.UID, resourceVersion: meta.ResourceVersion, meta: kept})
}

func (m memory) deleted(key types.NamespacedName, prior State) {
	m.set(key, entry{uid: prior.UID, resourceVersion: prior.ResourceVersion, gone: true})
}

// set keeps the newer of two writes that end at the same time.
func (m memory) set(key types.NamespacedName, e entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, found := m.entries[key]; found && older(e.resourceVersion, old.resourceVersion) {
		return
	}
	m.entries[key] = e
}

func (m memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, key)
}

// newer returns what is remembered where it is newer than what the cache shows: the
// metadata, or that there is no object any more.
func (m memory) newer(key types.NamespacedName, cached *metav1.PartialObjectMetadata) (meta *metav1.ObjectMeta, absent bool) {
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
	case e.caughtUp(&cached.ObjectMeta):
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

func (m memory) own(key types.NamespacedName, meta *metav1.ObjectMeta) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, found := m.entries[key]
	if !found {
		return false
	}
	if e.caughtUp(meta) {
		delete(m.entries, key)
		return false
	}
	own := !e.gone && meta.UID == e.uid && meta.ResourceVersion == e.resourceVersion
	if own && e.meta != nil {
		// The event comes after the cache has it: a Secret that is not there from now on was deleted.
		e.meta = nil
		m.entries[key] = e
	}
	return own
}

// seen corrects the memory by a live read; nil: there is no object.
func (m memory) seen(key types.NamespacedName, live *metav1.ObjectMeta) {
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
	if e.caughtUp(live) {
		delete(m.entries, key)
	}
}

// caughtUp says that what is seen is later than the write. Versions that cannot be
// compared say so too: a write on a wrong belief fails by its precondition.
func (e entry) caughtUp(seen *metav1.ObjectMeta) bool {
	if e.gone && seen.UID == e.uid {
		return seen.DeletionTimestamp != nil // it waits for a finalizer
	}
	order, err := resourceversion.CompareResourceVersion(seen.ResourceVersion, e.resourceVersion)
	return err != nil || order > 0
}

func older(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

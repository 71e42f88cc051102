// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// cachedMeta returns what a cache shows of the Secret now. Nil: none.
func cachedMeta(s *server) *metav1.PartialObjectMetadata {
	if s.storedSecret() == nil {
		return nil
	}
	return metaOf(&s.storedSecret().ObjectMeta)
}

func (m memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

func TestLaggingCacheIsNotBelieved(t *testing.T) {
	t.Parallel()
	store, server := newStore(t)
	observe := func(meta *metav1.PartialObjectMetadata) State { return store.Observe(newSession(), meta) }
	first := writeNew(t, store, newInput(newSession()))
	created := cachedMeta(server)

	if got := observe(nil); got.ResourceVersion != first.ResourceVersion || got.Token.Serial != 3 {
		t.Errorf("the creation was forgotten: %+v", got)
	}
	second, err := store.Write(t.Context(), rotatedInput(newSession()), first)
	if err != nil {
		t.Fatal(err)
	}
	if got := observe(created); got.ResourceVersion != second.ResourceVersion || got.Token.Serial != 4 {
		t.Errorf("the update was forgotten: %+v", got)
	}
	updated := cachedMeta(server)
	if got := observe(updated); got.ResourceVersion != second.ResourceVersion {
		t.Errorf("%+v", got)
	}
	if err := store.Delete(t.Context(), newSession(), second); err != nil {
		t.Fatal(err)
	}
	for _, meta := range []*metav1.PartialObjectMetadata{created, updated} {
		if got := observe(meta); got.Ownership != Absent {
			t.Errorf("the deletion was forgotten: %+v", got)
		}
	}
	if got := observe(nil); got.Ownership != Absent || store.memory.len() != 0 {
		t.Errorf("%+v, %d remembered", got, store.memory.len())
	}
}

func TestCacheThatIsAheadIsBelieved(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, *Store, *server, State){
		"after an edit": func(_ *testing.T, _ *Store, s *server, _ State) {
			s.editSecret(func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationSerial] = "9" })
		},
		"after a new creation": func(_ *testing.T, _ *Store, s *server, _ State) {
			s.putSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{UID: "theirs"}})
		},
		"after a new creation that follows a deletion": func(t *testing.T, store *Store, s *server, prior State) {
			if err := store.Delete(t.Context(), newSession(), prior); err != nil {
				t.Fatal(err)
			}
			s.putSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{UID: "theirs"}})
		},
		"with versions that cannot be compared": func(_ *testing.T, _ *Store, s *server, _ State) {
			s.SetVersion("Secret", secretKey, "?")
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, server := newStore(t)
			change(t, store, server, writeNew(t, store, newInput(newSession())))
			if store.Own(cachedMeta(server)) {
				t.Error("another writer's write is taken for an own one")
			}
			if got, want := store.Observe(newSession(), cachedMeta(server)).ResourceVersion,
				server.storedSecret().ResourceVersion; got != want {
				t.Errorf("version %s, want %s", got, want)
			}
			if store.memory.len() != 0 {
				t.Error("it is still remembered")
			}
		})
	}
}

// A deletion by others that the cache never showed is noticed by the next read from the API server.
func TestLiveReadCorrectsTheMemory(t *testing.T) {
	t.Parallel()
	store, server := newStore(t)
	writeNew(t, store, newInput(newSession()))
	server.removeSecret()
	if _, err := store.Compare(t.Context(), newInput(newSession())); err != nil {
		t.Fatal(err)
	}
	if got := store.Observe(newSession(), nil); got.Ownership != Absent {
		t.Errorf("%+v", got)
	}

	writeNew(t, store, newInput(newSession()))
	server.editSecret(func(*corev1.Secret) {})
	if _, err := store.Compare(t.Context(), newInput(newSession())); err != nil {
		t.Fatal(err)
	}
	if store.memory.len() != 0 {
		t.Error("an overtaken write is still remembered")
	}
}

func TestOwnEvents(t *testing.T) {
	t.Parallel()
	store, server := newStore(t)
	state := writeNew(t, store, newInput(newSession()))
	created := cachedMeta(server)
	store.Observe(newSession(), created) // the cache may be read before the event is handled
	if !store.Own(created) {
		t.Error("an own creation is not known")
	}
	if !store.Own(created) { // an event can come again, as after a relist
		t.Error("an own creation is known only once")
	}
	if _, err := store.Write(t.Context(), rotatedInput(newSession()), state); err != nil {
		t.Fatal(err)
	}
	if store.Own(created) {
		t.Error("an overwritten write is taken for the last")
	}
	if !store.Own(cachedMeta(server)) {
		t.Error("an own update is not known")
	}
	other := created.DeepCopy()
	other.Name = "other"
	if store.Own(other) {
		t.Error("another Secret is taken for an own one")
	}
	store.Forget(client.ObjectKeyFromObject(newSession()))
	if store.Own(cachedMeta(server)) || store.memory.len()+len(store.memory.secrets) != 0 {
		t.Error("it is still remembered")
	}
}

// A replaced Secret is never mistaken for the previous one.
func TestReplacementIsRemembered(t *testing.T) {
	t.Parallel()
	store, server := newStore(t)
	writeNew(t, store, newInput(newSession()))
	server.editSecret(func(s *corev1.Secret) { s.Type = corev1.SecretTypeTLS })
	old := cachedMeta(server)
	state, err := store.Write(t.Context(), rotatedInput(newSession()), stateNow(server))
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range []*metav1.PartialObjectMetadata{old, nil} {
		if got := store.Observe(newSession(), meta); got.UID != state.UID {
			t.Errorf("%+v", got)
		}
	}
}

func TestStoreIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	store, server := newStore(t)
	writeNew(t, store, newInput(newSession()))
	meta := cachedMeta(server)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				store.Observe(newSession(), meta)
				store.Own(meta)
				store.memory.recordWrite(newSession(), &meta.ObjectMeta)
				store.Forget(client.ObjectKeyFromObject(newSession()))
			}
		})
	}
	all.Wait()
}

// B24
func TestDeletionAfterAnOwnCreationBeforeTheFirstObserve(t *testing.T) {
	t.Parallel()
	store, server := newStore(t)
	writeNew(t, store, newInput(newSession()))
	if !store.Own(cachedMeta(server)) { // the event of the creation, without an Observe after it
		t.Fatal("an own creation is not known")
	}
	if got := store.Observe(newSession(), nil); got.Ownership != Absent {
		t.Errorf("a deleted Secret is taken for one that is not in the cache yet: %+v", got)
	}
}

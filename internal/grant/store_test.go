// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// writeNew stores a state in a new document and returns its version.
func writeNew(t *testing.T, store *Store, s State) Version {
	t.Helper()
	version, err := store.Write(t.Context(), newSession(), s, Version{})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func wantState(t *testing.T, store *Store, want State) {
	t.Helper()
	got, _, err := store.Read(t.Context(), newSession())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestTheDocumentOfASession(t *testing.T) {
	t.Parallel()
	store, server := newStore()
	state, version, err := store.Read(t.Context(), newSession())
	if err != nil || !version.Absent() || !cmp.Equal(state, State{}) {
		t.Fatalf("got %+v, %+v, %v", state, version, err)
	}
	first := writeNew(t, store, completeState())
	wantState(t, store, completeState())
	live := server.storedSecret()
	want := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "builds", Name: "ci-oauth", UID: first.UID, ResourceVersion: first.ResourceVersion,
			Labels: map[string]string{"credentials.coder.com/grant": "ci"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "credentials.coder.com/v1alpha1", Kind: "CoderSession", Name: "ci", UID: newSession().UID,
				Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
			}},
		},
		Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"state": live.Data["state"]},
	}
	if diff := cmp.Diff(want, live); diff != "" {
		t.Error(diff)
	}
	second, err := store.Write(t.Context(), newSession(), State{}, first)
	if err != nil || second.UID != first.UID || second.ResourceVersion == first.ResourceVersion || second.Absent() {
		t.Errorf("got %+v, %v", second, err)
	}
	wantState(t, store, State{})
	if diff := cmp.Diff([]string{"create", "update"}, server.Writes()); diff != "" {
		t.Error(diff)
	}
}

// Labels and annotations of others stay.
func TestMetadataOfOthersStay(t *testing.T) { // B30
	t.Parallel()
	store, server := newStore()
	writeNew(t, store, State{})
	edited := server.storedSecret()
	edited.Labels["backup"], edited.Annotations, edited.Finalizers = "daily", map[string]string{"note": "x"},
		[]string{"example.test/hold"}
	edited.OwnerReferences = append(edited.OwnerReferences,
		metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "y"})
	server.putSecret(edited)
	for range 2 { // the second write uses the version that the first one returned
		if _, err := store.Change(t.Context(), newSession(),
			func(s *State) error { *s = completeState(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	_, version, err := store.Read(t.Context(), newSession())
	if err != nil {
		t.Fatal(err)
	}
	if version, err = store.Write(t.Context(), newSession(), completeState(), version); err != nil {
		t.Fatal(err)
	}
	if _, err = store.Write(t.Context(), newSession(), completeState(), version); err != nil {
		t.Fatal(err)
	}
	want, got := edited.ObjectMeta, server.storedSecret().ObjectMeta
	want.ResourceVersion = got.ResourceVersion
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestForeignSecretsAreNotTouched(t *testing.T) { // B23
	t.Parallel()
	text, err := encodeState(completeState())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]metav1.OwnerReference{
		"of another kind": {{APIVersion: "v1", Kind: "ConfigMap", Name: "ci", UID: "another", Controller: ptr.To(true)}},
		"of another API":  {{APIVersion: "v1", Kind: "CoderSession", Name: "ci", UID: "another", Controller: ptr.To(true)}},
		"of a session that was here": {{APIVersion: v1alpha1.GroupVersion.String(), Kind: "CoderSession", Name: "ci",
			UID: "another", Controller: ptr.To(true)}},
		"of another session": {{APIVersion: v1alpha1.GroupVersion.String(), Kind: "CoderSession", Name: "other",
			UID: "another", Controller: ptr.To(true)}},
	}
	for name, owners := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, server := newStore()
			theirs := server.putSecret(&corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{OwnerReferences: owners, Labels: map[string]string{v1alpha1.LabelGrant: "ci"}},
				Data:       map[string][]byte{"state": text},
			})
			state, version, err := store.Read(t.Context(), newSession())
			if !errors.Is(err, ErrForeign) || !cmp.Equal(state, State{}) || !version.Absent() ||
				strings.Contains(err.Error(), mark) {
				t.Errorf("read: %v, %+v, %+v", err, state, version)
			}
			if _, err := store.Change(t.Context(), newSession(),
				func(*State) error { t.Error("it was read"); return nil }); !errors.Is(err, ErrForeign) {
				t.Errorf("change: %v", err)
			}
			if _, err := store.Write(t.Context(), newSession(), State{}, version); !apierrors.IsAlreadyExists(err) {
				t.Errorf("write: %v", err)
			}
			if err := store.Delete(t.Context(), newSession(), version); err != nil {
				t.Errorf("delete: %v", err)
			}
			if diff := cmp.Diff(theirs, server.storedSecret()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Backups drop owners, or keep those with the former UID. The document is read and, with the next
// write, taken over.
func TestARestoredDocumentIsAdopted(t *testing.T) { // B112
	t.Parallel()
	tests := map[string][]metav1.OwnerReference{
		"without an owner":                   nil,
		"of ours, but not as its controller": {{Kind: "CoderSession", Name: "ci", UID: newSession().UID}},
	}
	for name, owners := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, server := newStore()
			text, err := encodeState(completeState())
			if err != nil {
				t.Fatal(err)
			}
			server.putSecret(&corev1.Secret{
				Type:       corev1.SecretTypeOpaque,
				ObjectMeta: metav1.ObjectMeta{OwnerReferences: owners, Labels: map[string]string{v1alpha1.LabelGrant: "ci"}},
				Data:       map[string][]byte{"state": text},
			})
			state, err := store.Change(t.Context(), newSession(), func(*State) error { return nil })
			if diff := cmp.Diff(completeState(), state); diff != "" || err != nil {
				t.Errorf("%v: %s", err, diff)
			}
			if !newSession().Controls(server.storedSecret()) {
				t.Errorf("owners %+v", server.storedSecret().OwnerReferences)
			}
		})
	}
	store, server := newStore()
	labels := map[string]string{v1alpha1.LabelGrant: "other"}
	server.putSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Labels: labels}})
	if _, _, err := store.Read(t.Context(), newSession()); !errors.Is(err, ErrForeign) { // B23
		t.Errorf("the document of another session: %v", err)
	}
}

// A session without a UID owns nothing.
func TestASessionWithoutUID(t *testing.T) {
	t.Parallel()
	store, server := newStore()
	server.putSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		OwnerReferences: []metav1.OwnerReference{{Controller: ptr.To(true)}}}})
	unnamed := newSession()
	unnamed.UID = ""
	if _, _, err := store.Read(t.Context(), unnamed); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
}

func TestOneOfTwoWritersWins(t *testing.T) { // B67
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, *Store) Version{
		"from nothing":    func(*testing.T, *Store) Version { return Version{} },
		"from a document": func(t *testing.T, s *Store) Version { t.Helper(); return writeNew(t, s, completeState()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, _ := newStore()
			version := prepare(t, store)
			const writers = 8
			errs := make([]error, writers)
			var group sync.WaitGroup
			for i := range writers {
				group.Go(func() {
					next := completeState()
					next.SpentBy(fmt.Sprintf("pod-%d", i), now)
					_, errs[i] = store.Write(t.Context(), newSession(), next, version)
				})
			}
			group.Wait()
			winner := ""
			for i, err := range errs {
				switch {
				case err == nil && winner == "":
					winner = fmt.Sprintf("pod-%d", i)
				case !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err):
					t.Errorf("writer %d: %v", i, err)
				}
			}
			got, _, err := store.Read(t.Context(), newSession())
			if err != nil || got.Intent == nil || got.Intent.Holder != winner {
				t.Errorf("%q has won, and there is %+v, %v", winner, got.Intent, err)
			}
		})
	}
}

var errTaken = errors.New("another process does")

func TestOneOfManySpends(t *testing.T) { // B67
	t.Parallel()
	store, _ := newStore()
	before := completeState()
	before.Intent = nil
	writeNew(t, store, before)
	const processes = 8
	errs := make([]error, processes)
	var group sync.WaitGroup
	for i := range processes {
		group.Go(func() {
			_, errs[i] = store.Change(t.Context(), newSession(), func(s *State) error {
				if s.Intent != nil {
					return errTaken
				}
				s.SpentBy(fmt.Sprintf("pod-%d", i), now)
				return nil
			})
		})
	}
	group.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if err != errTaken { //nolint:errorlint // it is returned as it is
			t.Errorf("got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d spend the refresh token", won)
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	conflict := apierrors.NewConflict(resource, "ci-oauth", errors.New("modified"))
	tests := map[string]struct {
		// before is called before each write.
		before func(server *server, n int) error
		calls  int // of the change
		want   func(error) bool
	}{
		"no other writer": {func(*server, int) error { return nil }, 1, func(err error) bool { return err == nil }},
		"another writer, twice": {func(s *server, n int) error {
			if n <= 2 {
				s.putSecret(s.storedSecret())
			}
			return nil
		}, 3, func(err error) bool { return err == nil }},
		"another writer deletes it": {func(s *server, n int) error {
			if n == 1 {
				s.putSecret(nil)
			}
			return nil
		}, 2, func(err error) bool { return err == nil }},
		"another writer, every time": {func(*server, int) error { return conflict }, attempts, apierrors.IsConflict},
		"the API server cannot": {func(*server, int) error { return apierrors.NewInternalError(errors.New("x")) }, 1,
			apierrors.IsInternalError},
		"writing is forbidden": {func(*server,
			int) error {
			return apierrors.NewForbidden(resource, "ci-oauth", nil)
		}, 1, apierrors.IsForbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, server := newStore()
			writeNew(t, store, State{})
			server.ForgetRequests()
			server.beforeWrites(func(n int) error { return tt.before(server, n) })
			calls := 0
			got, err := store.Change(t.Context(), newSession(), func(s *State) error {
				calls++
				s.Client = completeState().Client
				return nil
			})
			if calls != tt.calls || !tt.want(err) {
				t.Errorf("%d calls, %v", calls, err)
			}
			server.Before(nil)
			want := State{}
			if err == nil {
				want.Client = completeState().Client
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			}
			wantState(t, store, want)
			if err != nil && strings.Contains(err.Error(), mark) { // B90
				t.Errorf("the error shows a credential: %v", err)
			}
		})
	}
}

func TestAChangeThatEnds(t *testing.T) {
	t.Parallel()
	store, server := newStore()
	writeNew(t, store, completeState())
	got, err := store.Change(t.Context(), newSession(), func(s *State) error { s.Grant = nil; return errTaken })
	if err != errTaken || got.Client == nil || len(server.Writes()) != 1 { //nolint:errorlint // it is returned as it is
		t.Errorf("got %v, %+v, and %q", err, got, server.Writes())
	}
	wantState(t, store, completeState())
}

func TestDelete(t *testing.T) {
	t.Parallel()
	store, server := newStore()
	old := writeNew(t, store, completeState())
	current, err := store.Write(t.Context(), newSession(), State{}, old)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), newSession(), old); !apierrors.IsConflict(err) || server.storedSecret() == nil {
		t.Errorf("a changed document: %v", err)
	}
	for range 2 { // one that is gone is success
		if err := store.Delete(t.Context(), newSession(), current); err != nil || server.storedSecret() != nil {
			t.Errorf("got %v", err)
		}
	}
}

func TestAStateThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	store, server := newStore()
	s := completeState()
	s.Grant.ExpiresAt = s.Grant.ExpiresAt.AddDate(9000, 0, 0)
	if _, err := store.Write(t.Context(), newSession(), s, Version{}); err == nil || strings.Contains(err.Error(), mark) ||
		server.storedSecret() != nil {
		t.Errorf("got %v", err)
	}
}

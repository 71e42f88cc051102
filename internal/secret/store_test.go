// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// rotatedInput is the input after a rotation to a token with another value.
func rotatedInput(s *v1alpha1.CoderSession) Input {
	in := newInput(s)
	in.Token.ID, in.Token.Value = "b1B2c3D4e5", redact.New("b1B2c3D4e5-sentinelsentinelsenti2")
	in.Token.Serial++
	return in
}

// writeNew creates the Secret of in and returns its state.
func writeNew(tb testing.TB, store *Store, in Input) State {
	tb.Helper()
	state, err := store.Write(tb.Context(), in, State{})
	if err != nil {
		tb.Fatal(err)
	}
	return state
}

func stateNow(s *server) State { return stateOf(&s.storedSecret().ObjectMeta, newSession()) }

func TestWriteIsOneRequest(t *testing.T) { // B22
	t.Parallel()
	store, server := newStore(t)
	state := writeNew(t, store, newInput(newSession()))
	if diff := cmp.Diff(stateNow(server), state); diff != "" {
		t.Error(diff)
	}

	in := rotatedInput(newSession())
	in.URL.Host = "other.example.com"
	state, err := store.Write(t.Context(), in, state)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"create", "update"}, server.Writes()); diff != "" {
		t.Error(diff)
	}
	want, err := Render(testKey(t), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Data, server.storedSecret().Data); diff != "" {
		t.Error(diff)
	}
	if state.Token.ID != in.Token.ID || state.Token.Serial != 4 ||
		state.ResourceVersion != server.storedSecret().ResourceVersion {
		t.Errorf("%+v", state)
	}
}

func TestForeignSecretIsNeverTouched(t *testing.T) { // B23
	t.Parallel()
	store, server := newStore(t)
	theirs := server.putSecret(&corev1.Secret{Data: map[string][]byte{"session": []byte(tokenValue)}})
	prior := stateNow(server)

	if _, err := store.Write(t.Context(), newInput(newSession()), prior); !errors.Is(err, ErrForeign) {
		t.Errorf("write: %v", err)
	}
	if _, err := store.Write(t.Context(), newInput(newSession()), State{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("create: %v", err)
	}
	if err := store.Delete(t.Context(), newSession(), prior); err != nil {
		t.Errorf("withdraw: %v", err)
	}
	if err := store.Retain(t.Context(), newSession(), prior); err != nil {
		t.Errorf("retain: %v", err)
	}
	want := TokenMeta{Fingerprint: TokenFingerprint(testKey(t), redact.New(tokenValue))}
	if _, found, err := store.Token(t.Context(), newSession(), want); found || err != nil {
		t.Errorf("its contents were read: %v, %v", found, err)
	}
	if found, err := store.Compare(t.Context(), newInput(newSession())); found.InSync || err != nil {
		t.Errorf("%+v, %v", found, err)
	}
	if diff := cmp.Diff(theirs, server.storedSecret()); diff != "" {
		t.Error(diff)
	}
}

func TestEditedSecretIsFoundAndRestored(t *testing.T) { // B24
	t.Parallel()
	tests := map[string]struct {
		edit   func(*corev1.Secret)
		inSync bool
		token  bool
	}{
		"nothing":           {func(*corev1.Secret) {}, true, true},
		"others' metadata":  {func(s *corev1.Secret) { s.Labels["theirs"], s.Annotations["theirs"] = "x", "x" }, true, true},
		"another key":       {func(s *corev1.Secret) { s.Data["more"] = []byte("x") }, false, true},
		"an emptied key":    {func(s *corev1.Secret) { s.Data["url"] = nil }, false, true},
		"a removed key":     {func(s *corev1.Secret) { delete(s.Data, "CODER_URL") }, false, true},
		"one token edited":  {func(s *corev1.Secret) { s.Data["session"] = []byte("x") }, false, true},
		"one token removed": {func(s *corev1.Secret) { delete(s.Data, "CODER_SESSION_TOKEN") }, false, true},
		"both tokens edited": {
			func(s *corev1.Secret) { s.Data["session"], s.Data["CODER_SESSION_TOKEN"] = []byte("x"), []byte("x") }, false, false,
		},
		"no data":           {func(s *corev1.Secret) { s.Data = nil }, false, false},
		"our label":         {func(s *corev1.Secret) { delete(s.Labels, v1alpha1.LabelSession) }, false, true},
		"our annotation":    {func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationSerial] = "9" }, false, true},
		"a label of spec":   {func(s *corev1.Secret) { s.Labels["team"] = "b" }, false, true},
		"the record":        {func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationManaged] = "?" }, false, true},
		"another type":      {func(s *corev1.Secret) { s.Type = corev1.SecretTypeTLS }, false, true},
		"a stale retention": {func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationRetained] = "true" }, false, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, server := newStore(t)
			in := newInput(newSession(withSecret(v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"team": "a"}})))
			token := *writeNew(t, store, in).Token
			server.editSecret(test.edit)

			value, found, err := store.Token(t.Context(), newSession(), token)
			if err != nil || found != test.token || found && !value.Equal(in.Token.Value) {
				t.Errorf("token: %v, %v", found, err)
			}
			compared, err := store.Compare(t.Context(), in)
			want := Comparison{InSync: test.inSync, ResourceVersion: server.storedSecret().ResourceVersion}
			if diff := cmp.Diff(want, compared); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
			if _, err := store.Write(t.Context(), in, stateNow(server)); err != nil {
				t.Fatal(err)
			}
			if now, _ := store.Compare(t.Context(), in); !now.InSync {
				t.Error("it was not restored")
			}
		})
	}
}

func TestDeletedSecret(t *testing.T) { // B24
	t.Parallel()
	store, server := newStore(t)
	in := newInput(newSession())
	state := writeNew(t, store, in)
	server.removeSecret()

	if _, found, err := store.Token(t.Context(), newSession(), *state.Token); found || err != nil {
		t.Errorf("token: %v, %v", found, err)
	}
	if found, err := store.Compare(t.Context(), in); found != (Comparison{}) || err != nil {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := store.Write(t.Context(), in, state); !apierrors.IsConflict(err) {
		t.Errorf("write: %v", err)
	}
	writeNew(t, store, in)
}

func TestMetadataOfOthersStays(t *testing.T) { // B30
	t.Parallel()
	store, server := newStore(t)
	in := newInput(newSession(withSecret(v1alpha1.GeneratedSecret{
		Labels:      map[string]v1alpha1.LabelValue{"team": "a", "left": "x"},
		Annotations: map[string]string{"note": "x"},
	})))
	writeNew(t, store, in)
	server.editSecret(func(s *corev1.Secret) {
		s.Labels["theirs"], s.Annotations["theirs"] = "x", "x"
		s.Finalizers = []string{"example.com/keep"}
		s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{Name: "bundle", UID: "other"})
	})

	in = newInput(newSession(withSecret(v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"team": "b"}})))
	in.Token = Token{}
	if _, err := store.Write(t.Context(), in, stateNow(server)); err != nil {
		t.Fatal(err)
	}
	got := server.storedSecret()
	if diff := cmp.Diff(map[string]string{"team": "b", "theirs": "x", v1alpha1.LabelSession: "ci"},
		got.Labels); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{
		"theirs":                       "x",
		v1alpha1.AnnotationManaged:     `{"labels":["team"]}`,
		v1alpha1.AnnotationFingerprint: Fingerprint(testKey(t), in),
		v1alpha1.AnnotationCredential:  Credential(testKey(t), in),
	}, got.Annotations); diff != "" {
		t.Error(diff)
	}
	if len(got.OwnerReferences) != 2 || len(got.Finalizers) != 1 {
		t.Errorf("%v, %v", got.OwnerReferences, got.Finalizers)
	}
}

// A concurrent write is never lost, whenever it happens. B30
func TestWritesHavePreconditions(t *testing.T) {
	t.Parallel()
	actions := map[string]func(*Store, State) error{
		"write": func(s *Store, prior State) error {
			_, err := s.Write(t.Context(), rotatedInput(newSession()), prior)
			return err
		},
		"retain":   func(s *Store, prior State) error { return s.Retain(t.Context(), newSession(), prior) },
		"withdraw": func(s *Store, prior State) error { return s.Delete(t.Context(), newSession(), prior) },
	}
	edit := func(s *corev1.Secret) { s.Data["theirs"] = []byte("x") }
	recreate := func(s *corev1.Secret) { s.UID = ""; edit(s) }
	for name, act := range actions {
		for moment, between := range map[string]func(*server, func(*corev1.Secret)){
			"before the read": func(s *server, change func(*corev1.Secret)) { s.editSecret(change) },
			"after the read": func(s *server, change func(*corev1.Secret)) {
				s.beforeNextWrite(func() { s.editSecret(change) })
			},
		} {
			for what, change := range map[string]func(*corev1.Secret){"edited": edit, "recreated": recreate} {
				t.Run(name+", "+what+" "+moment, func(t *testing.T) {
					t.Parallel()
					store, server := newStore(t)
					prior := writeNew(t, store, newInput(newSession()))
					between(server, change)
					if err := act(store, prior); !apierrors.IsConflict(err) {
						t.Errorf("got %v", err)
					}
					if live := server.storedSecret(); live == nil || string(live.Data["theirs"]) != "x" {
						t.Error("the other write was lost")
					}
				})
			}
		}
	}
}

func TestCreationWhenTheSecretExistsAlready(t *testing.T) { // B30
	t.Parallel()
	store, server := newStore(t)
	server.beforeNextWrite(func() {
		server.putSecret(&corev1.Secret{Data: map[string][]byte{"theirs": []byte("x")}})
	})
	if _, err := store.Write(t.Context(), newInput(newSession()), State{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("got %v", err)
	}
	if server.storedSecret().Data["theirs"] == nil {
		t.Error("the other write was lost")
	}
}

func TestUnchangeableSecretIsReplaced(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*corev1.Secret){
		"type":      func(s *corev1.Secret) { s.Type = corev1.SecretTypeTLS },
		"immutable": func(s *corev1.Secret) { s.Immutable = ptr.To(true) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, server := newStore(t)
			writeNew(t, store, newInput(newSession()))
			server.editSecret(func(s *corev1.Secret) { change(s); s.Labels["theirs"] = "x" })
			server.ForgetRequests()
			if found, err := store.Compare(t.Context(), rotatedInput(newSession())); found.InSync || err != nil {
				t.Errorf("%+v, %v", found, err)
			}
			state, err := store.Write(t.Context(), rotatedInput(newSession()), stateNow(server))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"delete", "create"}, server.Writes()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(stateNow(server), state); diff != "" {
				t.Error(diff)
			}
			if server.storedSecret().Labels["theirs"] != "x" || server.storedSecret().Type != corev1.SecretTypeOpaque {
				t.Errorf("%+v", server.storedSecret())
			}
			if found, err := store.Compare(t.Context(), rotatedInput(newSession())); !found.InSync || err != nil {
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	store, server := newStore(t)
	state := writeNew(t, store, newInput(newSession()))
	for range 2 { // the second finds it absent
		if err := store.Delete(t.Context(), newSession(), state); err != nil {
			t.Error(err)
		}
	}
	if err := store.Delete(t.Context(), newSession(), State{}); err != nil {
		t.Error(err)
	}
	if server.storedSecret() != nil {
		t.Error("it is still there")
	}
}

func TestRetainedSecretIsTakenOver(t *testing.T) {
	t.Parallel()
	store, server := newStore(t)
	state := writeNew(t, store, newInput(newSession()))
	server.editSecret(func(s *corev1.Secret) { delete(s.Labels, v1alpha1.LabelSession) })
	if err := store.Retain(t.Context(), newSession(), stateNow(server)); err != nil {
		t.Fatal(err)
	}
	if len(server.storedSecret().OwnerReferences) != 0 || string(server.storedSecret().Data["session"]) != tokenValue {
		t.Errorf("%+v", server.storedSecret())
	}
	if state = stateNow(server); state.Ownership != Adoptable || state.Token == nil {
		t.Errorf("%+v", state)
	}
	requests := len(server.Writes())
	if err := store.Retain(t.Context(), newSession(), state); err != nil || len(server.Writes()) != requests {
		t.Errorf("retained again: %v", err)
	}

	heir := newSession(func(s *v1alpha1.CoderSession) { s.UID = "22222222-0000-4000-8000-000000000002" })
	state, err := store.Write(t.Context(), rotatedInput(heir), stateOf(&server.storedSecret().ObjectMeta, heir))
	if err != nil || state.Ownership != Owned {
		t.Fatalf("%+v, %v", state, err)
	}
	if _, left := server.storedSecret().Annotations[v1alpha1.AnnotationRetained]; left {
		t.Error("it is still marked as retained")
	}
	if stateNow(server).Ownership == Owned {
		t.Error("the old session owns it too")
	}
}

func TestSecretThatWaitsForItsEnd(t *testing.T) {
	t.Parallel()
	store, server := newStore(t)
	writeNew(t, store, newInput(newSession()))
	server.editSecret(func(s *corev1.Secret) { s.Finalizers = []string{"example.com/keep"} })
	if err := store.Delete(t.Context(), newSession(), stateNow(server)); err != nil {
		t.Fatal(err)
	}
	state := store.Observe(newSession(), metaOf(&server.storedSecret().ObjectMeta))
	if state.Ownership != Owned || !state.Deleting {
		t.Errorf("%+v", state)
	}
	if _, err := store.Write(t.Context(), newInput(newSession()), state); !apierrors.IsConflict(err) {
		t.Errorf("write: %v", err)
	}
}

// If the Secret cannot be written, the last valid contents stay, and no error contains a value.
func TestBrokenTemplateWritesNothing(t *testing.T) { // B90
	t.Parallel()
	store, server := newStore(t)
	state := writeNew(t, store, newInput(newSession()))
	_, err := store.Write(t.Context(), rotatedInput(newSession(withTemplate("key", "{{range .Token}}{{end}}"))), state)
	var failed *TemplateError
	if !errors.As(err, &failed) || len(server.Writes()) != 1 {
		t.Errorf("%v, %v", err, server.Writes())
	}
	mustNotLeak(t, err)
}

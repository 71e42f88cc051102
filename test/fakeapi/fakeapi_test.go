// SPDX-License-Identifier: Apache-2.0

package fakeapi_test

import (
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/fakeapi"
)

var key = client.ObjectKey{Namespace: "builds", Name: "ci"}

func newSecret(changes ...func(*corev1.Secret)) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	for _, change := range changes {
		change(s)
	}
	return s
}

// getSecret reads the Secret, which has to be there.
func getSecret(t *testing.T, api *fakeapi.Server) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	if err := api.Get(t.Context(), key, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func metadataOf(kind string) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return m
}

func TestWritesAreAnsweredAsByAnAPIServer(t *testing.T) {
	t.Parallel()
	version := func(s *corev1.Secret) client.DeleteOption {
		return client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion}
	}
	for name, c := range map[string]struct {
		write func(*fakeapi.Server) error
		want  func(error) bool // nil: success
	}{
		"create another": {func(api *fakeapi.Server) error {
			return api.Create(t.Context(), newSecret(func(s *corev1.Secret) { s.Name = "cd" }))
		}, nil},
		"create one that is there": {func(api *fakeapi.Server) error {
			return api.Create(t.Context(), newSecret())
		}, apierrors.IsAlreadyExists},
		"create one of another kind": {func(api *fakeapi.Server) error {
			return api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: newSecret().ObjectMeta})
		}, nil},
		"create with a version": {func(api *fakeapi.Server) error {
			return api.Create(t.Context(), newSecret(func(s *corev1.Secret) { s.Name, s.ResourceVersion = "cd", "1" }))
		}, apierrors.IsBadRequest},
		"create with a UID": {func(api *fakeapi.Server) error {
			return api.Create(t.Context(), newSecret(func(s *corev1.Secret) { s.Name, s.UID = "cd", "x" }))
		}, apierrors.IsBadRequest},
		"update": {func(api *fakeapi.Server) error {
			return api.Update(t.Context(), getSecret(t, api))
		}, nil},
		"update one that is gone": {func(api *fakeapi.Server) error {
			s := getSecret(t, api)
			fakeapi.Remove[corev1.Secret](api, key)
			return api.Update(t.Context(), s)
		}, apierrors.IsNotFound},
		"update one that has changed": {func(api *fakeapi.Server) error {
			s := getSecret(t, api)
			fakeapi.Edit(api, key, func(*corev1.Secret) {})
			return api.Update(t.Context(), s)
		}, apierrors.IsConflict},
		"update one that was created again": {func(api *fakeapi.Server) error {
			s := getSecret(t, api)
			s.UID = "another"
			return api.Update(t.Context(), s)
		}, apierrors.IsConflict},
		"update without a version": {func(api *fakeapi.Server) error {
			return api.Update(t.Context(), newSecret())
		}, apierrors.IsBadRequest},
		"update an immutable one": {func(api *fakeapi.Server) error {
			fakeapi.Edit(api, key, func(s *corev1.Secret) { s.Immutable = ptr.To(true) })
			return api.Update(t.Context(), getSecret(t, api))
		}, apierrors.IsInvalid},
		"update the type": {func(api *fakeapi.Server) error {
			s := getSecret(t, api)
			s.Type = corev1.SecretTypeTLS
			return api.Update(t.Context(), s)
		}, apierrors.IsInvalid},
		"delete": {func(api *fakeapi.Server) error {
			s := getSecret(t, api)
			return api.Delete(t.Context(), s, version(s))
		}, nil},
		"delete one that is gone": {func(api *fakeapi.Server) error {
			s := getSecret(t, api)
			fakeapi.Remove[corev1.Secret](api, key)
			return api.Delete(t.Context(), s, version(s))
		}, apierrors.IsNotFound},
		"delete one that has changed": {func(api *fakeapi.Server) error {
			s := getSecret(t, api)
			fakeapi.Edit(api, key, func(*corev1.Secret) {})
			return api.Delete(t.Context(), s, version(s))
		}, apierrors.IsConflict},
		"delete without preconditions": {func(api *fakeapi.Server) error {
			return api.Delete(t.Context(), getSecret(t, api))
		}, apierrors.IsBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.write(fakeapi.New(newSecret()))
			if c.want == nil && err != nil || c.want != nil && !c.want(err) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestVersionsAndUIDs(t *testing.T) {
	t.Parallel()
	api, s := fakeapi.New(), newSecret()
	if err := api.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	uid := s.UID
	if uid == "" || s.ResourceVersion != "99" {
		t.Fatalf("UID %q, version %q", uid, s.ResourceVersion)
	}
	s.Data = map[string][]byte{"session": []byte("x")}
	if err := api.Update(t.Context(), s); err != nil || s.ResourceVersion != "100" || s.UID != uid {
		t.Errorf("after an update: %v, version %q, UID %q", err, s.ResourceVersion, s.UID)
	}
	s.Data["session"][0] = 'y' // what is stored is a copy
	if got := fakeapi.Stored[corev1.Secret](api, key); string(got.Data["session"]) != "x" {
		t.Errorf("stored is %q", got.Data["session"])
	}
	api.Put(newSecret())
	if got := getSecret(t, api); got.ResourceVersion != "101" || got.UID == uid {
		t.Errorf("another client's: version %q, UID %q", got.ResourceVersion, got.UID)
	}
	api.SetVersion("Secret", key, "?")
	clone := api.Clone()
	fakeapi.Remove[corev1.Secret](api, key)
	if got := getSecret(t, clone); got.ResourceVersion != "?" {
		t.Errorf("version %q", got.ResourceVersion)
	}
	if fakeapi.Stored[corev1.Secret](api, key) != nil {
		t.Error("it is still there")
	}
}

func TestAFinalizerKeepsTheObject(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(newSecret(func(s *corev1.Secret) { s.Finalizers = []string{"example.com/keep"} }))
	s := getSecret(t, api)
	err := api.Delete(t.Context(), s, client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion})
	if got := getSecret(t, api); err != nil || got.DeletionTimestamp == nil || got.ResourceVersion == s.ResourceVersion {
		t.Errorf("error is %v, the object %+v", err, got)
	}
}

func TestHooksAndRequests(t *testing.T) {
	t.Parallel()
	api, lost := fakeapi.New(newSecret()), errors.New("the answer is lost")
	api.Before(func(r fakeapi.Request) error {
		if r == (fakeapi.Request{Verb: fakeapi.Get, Kind: "Secret", Key: key}) {
			return lost
		}
		return nil
	})
	if err := api.Get(t.Context(), key, &corev1.Secret{}); !errors.Is(err, lost) {
		t.Errorf("a read: %v", err)
	}
	api.Before(nil)
	api.After(func(fakeapi.Request) error { return lost })
	s := getSecret(t, api)
	if err := api.Update(t.Context(), s); !errors.Is(err, lost) || getSecret(t, api).ResourceVersion != "100" {
		t.Errorf("a write whose answer is lost: %v", err)
	}
	if err := api.Update(t.Context(), newSecret()); !apierrors.IsBadRequest(err) {
		t.Errorf("a write that fails has another answer: %v", err)
	}
	if !slices.Equal(api.Writes(), []string{fakeapi.Update, fakeapi.Update}) || api.Reads("Secret", "ci") != 3 {
		t.Errorf("requests: %v", api.Requests())
	}
	if api.ForgetRequests(); len(api.Requests()) != 0 {
		t.Errorf("requests: %v", api.Requests())
	}
}

func TestReaders(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(newSecret())
	if err := api.Contents().Get(t.Context(), key, &corev1.Secret{}); err != nil {
		t.Error(err)
	}
	if err := api.Contents().Get(t.Context(), key, metadataOf("Secret")); err == nil {
		t.Error("metadata comes from the reader of contents")
	}
	if err := api.Metadata().Get(t.Context(), key, &corev1.Secret{}); err == nil {
		t.Error("contents come from the cache")
	}
	cached := func() string {
		m := metadataOf("Secret")
		if err := api.Metadata().Get(t.Context(), key, m); err != nil {
			return string(apierrors.ReasonForError(err))
		}
		return m.ResourceVersion
	}
	api.SetCacheLag(true)
	fakeapi.Edit(api, key, func(*corev1.Secret) {})
	if got := cached(); got != "99" {
		t.Errorf("a cache that lags behind has %q", got)
	}
	api.SetCacheLag(false)
	if got := cached(); got != "100" {
		t.Errorf("a cache that has caught up has %q", got)
	}
	fakeapi.Remove[corev1.Secret](api, key)
	if got := cached(); got != string(metav1.StatusReasonNotFound) {
		t.Errorf("a cache after the end has %q", got)
	}
	m := metadataOf("Secret")
	api.Put(newSecret(func(s *corev1.Secret) { s.UID = "theirs" }))
	if err := api.Get(t.Context(), key, m); err != nil || m.UID != types.UID("theirs") {
		t.Errorf("metadata of the server: %v, %+v", err, m)
	}
}

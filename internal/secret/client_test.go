// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/fakeapi"
)

// server stores the Secret of the session ci.
type server struct{ *fakeapi.Server }

func newStore(tb testing.TB) (*Store, *server) {
	s := &server{fakeapi.New()}
	return NewStore(s, s, testKey(tb), "operator"), s
}

// beforeNextWrite calls a function once, before the next write.
func (s *server) beforeNextWrite(before func()) {
	s.Before(func(r fakeapi.Request) error {
		if r.IsWrite() {
			s.Before(nil)
			before()
		}
		return nil
	})
}

var secretKey = client.ObjectKey{Namespace: "builds", Name: "ci"}

// storedSecret returns a copy of the stored Secret, or nil.
func (s *server) storedSecret() *corev1.Secret {
	return fakeapi.Stored[corev1.Secret](s.Server, secretKey)
}

// putSecret stores a Secret as another writer does.
func (s *server) putSecret(secret *corev1.Secret) *corev1.Secret {
	stored := secret.DeepCopy()
	stored.Namespace, stored.Name = secretKey.Namespace, secretKey.Name
	if stored.Type == "" {
		stored.Type = corev1.SecretTypeOpaque
	}
	s.Put(stored)
	return stored
}

// editSecret changes the stored Secret as another writer does.
func (s *server) editSecret(change func(*corev1.Secret)) { fakeapi.Edit(s.Server, secretKey, change) }

// removeSecret removes the stored Secret as another writer does.
func (s *server) removeSecret() { fakeapi.Remove[corev1.Secret](s.Server, secretKey) }

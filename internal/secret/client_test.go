// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var resource = schema.GroupResource{Resource: "secrets"}

// server stores Secrets as an API server does: versions, UIDs, preconditions, finalizers, immutable
// contents and types.
type server struct {
	client.Reader // List is not used
	secrets       map[client.ObjectKey]*corev1.Secret
	version       int
	writes        []string
	// before is called once before the next write, if it is set.
	before func()
}

func newServer() *server { return &server{secrets: map[client.ObjectKey]*corev1.Secret{}, version: 8} }

func newStore(tb testing.TB) (*Store, *server) {
	s := newServer()
	return NewStore(s, s, testKey(tb)), s
}

func (s *server) next() string {
	s.version++
	return strconv.Itoa(s.version)
}

func (s *server) begin(verb string) {
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	s.writes = append(s.writes, verb)
}

func (s *server) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	stored, found := s.secrets[key]
	if !found {
		return apierrors.NewNotFound(resource, key.Name)
	}
	stored.DeepCopyInto(obj.(*corev1.Secret))
	return nil
}

func (s *server) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	s.begin("create")
	key := client.ObjectKeyFromObject(obj)
	if _, found := s.secrets[key]; found {
		return apierrors.NewAlreadyExists(resource, key.Name)
	}
	if obj.GetResourceVersion() != "" {
		return apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	obj.SetResourceVersion(s.next())
	obj.SetUID(types.UID("uid-" + obj.GetResourceVersion()))
	s.secrets[key] = obj.(*corev1.Secret).DeepCopy()
	return nil
}

func (s *server) Update(_ context.Context, obj client.Object, _ ...client.UpdateOption) error {
	s.begin("update")
	key, secret := client.ObjectKeyFromObject(obj), obj.(*corev1.Secret)
	stored, found := s.secrets[key]
	switch {
	case !found:
		return apierrors.NewNotFound(resource, key.Name)
	case secret.ResourceVersion == "":
		return apierrors.NewBadRequest("an update without a precondition")
	case secret.ResourceVersion != stored.ResourceVersion || secret.UID != stored.UID:
		return apierrors.NewConflict(resource, key.Name, fmt.Errorf("the object has been modified"))
	case secret.Type != stored.Type || ptr.Deref(stored.Immutable, false):
		return apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, key.Name, nil)
	}
	secret.ResourceVersion = s.next()
	s.secrets[key] = secret.DeepCopy()
	return nil
}

func (s *server) Delete(_ context.Context, obj client.Object, opts ...client.DeleteOption) error {
	s.begin("delete")
	var options client.DeleteOptions
	options.ApplyOptions(opts)
	key := client.ObjectKeyFromObject(obj)
	stored, found := s.secrets[key]
	if !found {
		return apierrors.NewNotFound(resource, key.Name)
	}
	pre := options.Preconditions
	if pre == nil || pre.UID == nil || pre.ResourceVersion == nil {
		return apierrors.NewBadRequest("a deletion without preconditions")
	}
	if *pre.UID != stored.UID || *pre.ResourceVersion != stored.ResourceVersion {
		return apierrors.NewConflict(resource, key.Name, fmt.Errorf("the preconditions are not met"))
	}
	if len(stored.Finalizers) > 0 {
		stored.DeletionTimestamp, stored.ResourceVersion = ptr.To(metav1.Now()), s.next()
		return nil
	}
	delete(s.secrets, key)
	return nil
}

// live returns the stored Secret of the session ci, or nil.
func (s *server) live() *corev1.Secret {
	return s.secrets[client.ObjectKey{Namespace: "builds", Name: "ci"}]
}

// put stores a Secret as another writer does.
func (s *server) put(secret *corev1.Secret) *corev1.Secret {
	stored := secret.DeepCopy()
	stored.Namespace, stored.Name, stored.ResourceVersion = "builds", "ci", s.next()
	if stored.UID == "" {
		stored.UID = types.UID("uid-" + stored.ResourceVersion)
	}
	if stored.Type == "" {
		stored.Type = corev1.SecretTypeOpaque
	}
	s.secrets[client.ObjectKeyFromObject(stored)] = stored
	return stored
}

// edit changes the stored Secret as another writer does.
func (s *server) edit(change func(*corev1.Secret)) {
	secret := s.live().DeepCopy()
	change(secret)
	s.put(secret)
}

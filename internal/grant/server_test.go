// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

var resource = schema.GroupResource{Resource: "secrets"}

// server stores Secrets as an API server does: versions, UIDs and preconditions.
type server struct {
	client.Reader // List is not used

	mu      sync.Mutex
	secrets map[client.ObjectKey]*corev1.Secret
	version int
	reads   int
	writes  []string
	// before is called before each write, if it is set, with its number from 1. Its error is returned.
	before func(n int) error
}

func newStore() (*Store, *server) {
	s := &server{secrets: map[client.ObjectKey]*corev1.Secret{}, version: 8}
	return NewStore(s, s), s
}

func (s *server) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	stored, found := s.secrets[key]
	if !found {
		return apierrors.NewNotFound(resource, key.Name)
	}
	stored.DeepCopyInto(obj.(*corev1.Secret))
	return nil
}

func (s *server) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	return s.write("create", obj, func(stored *corev1.Secret) error {
		switch {
		case stored != nil:
			return apierrors.NewAlreadyExists(resource, obj.GetName())
		case obj.GetResourceVersion() != "" || obj.GetUID() != "":
			return apierrors.NewBadRequest("a version of something to be created")
		}
		obj.SetUID(types.UID("uid-" + strconv.Itoa(s.version)))
		return nil
	})
}

func (s *server) Update(_ context.Context, obj client.Object, _ ...client.UpdateOption) error {
	return s.write("update", obj, func(stored *corev1.Secret) error {
		switch {
		case stored == nil:
			return apierrors.NewNotFound(resource, obj.GetName())
		case obj.GetResourceVersion() == "":
			return apierrors.NewBadRequest("an update without a precondition")
		case obj.GetResourceVersion() != stored.ResourceVersion || obj.GetUID() != stored.UID:
			return apierrors.NewConflict(resource, obj.GetName(), errors.New("the object has been modified"))
		}
		return nil
	})
}

func (s *server) write(verb string, obj client.Object, check func(*corev1.Secret) error) error {
	if err := s.begin(verb); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := client.ObjectKeyFromObject(obj)
	if err := check(s.secrets[key]); err != nil {
		return err
	}
	s.version++
	obj.SetResourceVersion(strconv.Itoa(s.version))
	s.secrets[key] = obj.(*corev1.Secret).DeepCopy()
	return nil
}

func (s *server) Delete(_ context.Context, obj client.Object, opts ...client.DeleteOption) error {
	if err := s.begin("delete"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var options client.DeleteOptions
	options.ApplyOptions(opts)
	key := client.ObjectKeyFromObject(obj)
	stored, found := s.secrets[key]
	switch pre := options.Preconditions; {
	case !found:
		return apierrors.NewNotFound(resource, key.Name)
	case pre == nil || pre.UID == nil || pre.ResourceVersion == nil:
		return apierrors.NewBadRequest("a deletion without preconditions")
	case *pre.UID != stored.UID || *pre.ResourceVersion != stored.ResourceVersion:
		return apierrors.NewConflict(resource, key.Name, errors.New("the preconditions are not met"))
	}
	delete(s.secrets, key)
	return nil
}

func (s *server) begin(verb string) error {
	s.mu.Lock()
	s.writes = append(s.writes, verb)
	n, before := len(s.writes), s.before
	s.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(n)
}

var documentKey = client.ObjectKey{Namespace: "builds", Name: "ci-oauth"}

// live returns a copy of the stored document's Secret, or nil.
func (s *server) live() *corev1.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secrets[documentKey].DeepCopy()
}

// put stores a Secret as another writer does; nil removes it.
func (s *server) put(secret *corev1.Secret) *corev1.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	if secret == nil {
		delete(s.secrets, documentKey)
		return nil
	}
	s.version++
	secret.Namespace, secret.Name, secret.ResourceVersion = documentKey.Namespace, documentKey.Name,
		strconv.Itoa(s.version)
	if secret.UID == "" {
		secret.UID = types.UID("uid-" + secret.ResourceVersion)
	}
	s.secrets[documentKey] = secret.DeepCopy()
	return secret
}

// session is one named ci in namespace builds.
func session() *v1alpha1.CoderSession {
	return &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{
		Namespace: "builds", Name: "ci", UID: "11111111-0000-4000-8000-000000000001",
	}}
}

// mark is part of every credential of these tests.
const mark = "S3NT1NEL"

var now = time.Date(2026, 2, 20, 10, 0, 0, 500, time.UTC)

// whole is a state with all fields set.
func whole() State {
	return State{
		Client: &Client{
			Registration: oauth.Registration{
				ClientID: "2b4e28ba-0000-4000-8000-00000000000c", ClientSecret: redact.New(mark + "secret"),
				AuthMethod: oauth.ClientSecretPost, RedirectURIs: []string{"https://a.test/x", LoopbackRedirectURI},
				ManagementURI: "https://coder.example.test/oauth2/clients/1", ManagementToken: redact.New(mark + "management"),
			},
			Server: "6f0e6f6e-0000-4000-8000-000000000001", Static: true,
		},
		Replaced: "before",
		Attempt: &Attempt{
			Attempt: oauth.Attempt{
				RedirectURI: "https://a.test/x", State: "state", Verifier: redact.New(mark + "verifier"), Scopes: []string{"a:b"},
			},
			URL: "https://coder.example.test/oauth2/authorize?state=state", ExpiresAt: now.Add(AttemptLifetime), SpentAt: now,
		},
		Grant:  &Grant{Grant: granted("a1B2c3D4e5"), IssuedAt: now.Add(-time.Hour)},
		Intent: &Intent{Holder: "pod-1", At: now.Add(-time.Minute)},
		Ended:  &Ended{Reason: "InvalidGrant", Message: "it is used", At: now.Add(-2 * time.Hour), Consented: true},
	}
}

func granted(id string) oauth.Grant {
	return oauth.Grant{
		AccessToken: redact.New(id + "-" + mark), KeyID: id, RefreshToken: redact.New(mark + "refresh"),
		ExpiresAt: now.Add(24 * time.Hour), Scopes: []string{"a:b", "c:*"},
	}
}

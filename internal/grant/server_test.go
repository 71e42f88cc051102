// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/test/fakeapi"
)

var resource = schema.GroupResource{Resource: "secrets"}

// server stores the document.
type server struct{ *fakeapi.Server }

func newStore() (*Store, *server) {
	s := &server{fakeapi.New()}
	return NewStore(s, s), s
}

// beforeWrites calls a function before each write from now on, with its number from 1. Its error is
// returned.
func (s *server) beforeWrites(before func(n int) error) {
	first := len(s.Writes())
	s.Before(func(r fakeapi.Request) error {
		if !r.IsWrite() {
			return nil
		}
		return before(len(s.Writes()) - first)
	})
}

var documentKey = client.ObjectKey{Namespace: "builds", Name: "ci-oauth"}

// storedSecret returns a copy of the stored document's Secret, or nil.
func (s *server) storedSecret() *corev1.Secret {
	return fakeapi.Stored[corev1.Secret](s.Server, documentKey)
}

// putSecret stores a Secret as another writer does; nil removes it.
func (s *server) putSecret(secret *corev1.Secret) *corev1.Secret {
	if secret == nil {
		fakeapi.Remove[corev1.Secret](s.Server, documentKey)
		return nil
	}
	secret.Namespace, secret.Name = documentKey.Namespace, documentKey.Name
	s.Put(secret)
	return secret
}

// newSession is one named ci in namespace builds.
func newSession() *v1alpha1.CoderSession {
	return &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{
		Namespace: "builds", Name: "ci", UID: "11111111-0000-4000-8000-000000000001",
	}}
}

// mark is part of every credential of these tests.
const mark = "S3NT1NEL"

var now = time.Date(2026, 2, 20, 10, 0, 0, 500, time.UTC)

// prod is a CoderDeployment and its server.
var prod = Destination{
	Deployment: types.NamespacedName{Namespace: "coder", Name: "prod"}, UID: "22222222-0000-4000-8000-000000000002",
	Origin: "https://coder.example.test:443", Route: "direct",
}

// completeState is a state with all fields set.
func completeState() State {
	return State{
		Client: &Client{
			Registration: oauth.Registration{
				ClientID: "2b4e28ba-0000-4000-8000-00000000000c", ClientSecret: redact.New(mark + "secret"),
				AuthMethod: oauth.ClientSecretPost, RedirectURIs: []string{"https://a.test/x", LoopbackRedirectURI},
				ManagementURI: "https://coder.example.test/oauth2/clients/1", ManagementToken: redact.New(mark + "management"),
			},
			Server: "6f0e6f6e-0000-4000-8000-000000000001", Static: true, Destination: prod,
		},
		Replaced: "before",
		Attempt: &Attempt{
			Attempt: oauth.Attempt{
				RedirectURI: "https://a.test/x", State: "state", Issuer: "https://a.test",
				Verifier: redact.New(mark + "verifier"), Scopes: []string{"a:b"},
			},
			URL: "https://coder.example.test/oauth2/authorize?state=state", ExpiresAt: now.Add(AttemptLifetime), SpentAt: now,
		},
		Grant:  &Grant{Grant: newGrant("a1B2c3D4e5"), IssuedAt: now.Add(-time.Hour)},
		Intent: &Intent{Holder: "pod-1", At: now.Add(-time.Minute)},
		Ended:  &Ended{Reason: "InvalidGrant", Message: "it is used", At: now.Add(-2 * time.Hour), Consented: true},
	}
}

func newGrant(id string) oauth.Grant {
	return oauth.Grant{
		AccessToken: redact.New(id + "-" + mark), KeyID: id, RefreshToken: redact.New(mark + "refresh"),
		ExpiresAt: now.Add(24 * time.Hour), Lifetime: 25 * time.Hour, Scopes: []string{"a:b", "c:*"},
	}
}

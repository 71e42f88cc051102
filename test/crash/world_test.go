// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/shifted"
)

// world is one case: a namespace, a Coder server and the operators that work there.
type world struct {
	t         *testing.T
	namespace string
	kube      *kube.Cluster
	client    client.Client // the user's: direct, uncounted
	coder     *coderd.Server
	gate      *gate
	keys      *certificates
	clock     *shifted.Clock
	// orphanGrace is long where the sessions themselves must leave nothing behind.
	orphanGrace time.Duration
	operators   []*operator
	// label says, in every message, which case this is.
	label string
	// foreign are values of tokens that are none of the operator's business.
	foreign []string
	// bystander is the Secret of the session that nothing happens to; nil: none.
	bystander *corev1.Secret
}

// newWorld starts a Coder server with the users operator (owner), ci-bot and ada,
// and writes the Secrets that a deployment refers to.
func newWorld(t *testing.T, label string) *world {
	t.Helper()
	w := &world{t: t, kube: kube.ForTest(t), clock: &shifted.Clock{}, orphanGrace: time.Hour, label: label}
	var err error
	w.keys, err = material()
	w.must(err)
	w.client = w.kube.Client
	w.namespace = w.kube.Namespace(t, nil)
	w.coder = coderd.New(coderd.Options{DisableRateLimits: true, Clock: w.clock})
	w.gate = newGate(t, w.coder, w.keys)
	for name, roles := range map[string][]string{"operator": {"owner"}, "ci-bot": nil, "ada": nil} {
		user, err := w.coder.CreateUser(coderd.UserOptions{Username: name, Roles: roles})
		w.must(err)
		if name == "operator" {
			w.gate.owner = user.ID
		}
	}
	w.writeSecret("token", map[string]string{"token": w.userToken("operator", "")})
	w.writeCertificate(w.keys.operator)
	w.writeSecret("ca", map[string]string{"ca.crt": string(w.keys.servers.PEM())})
	for _, name := range []string{"laptop", "cso-elsewher-0badcafe-1"} {
		w.foreign = append(w.foreign, w.userToken("ci-bot", name))
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", w.label, err)
	}
}

// userToken makes a token on the server, past the operator.
func (w *world) userToken(user, name string) string {
	w.t.Helper()
	value, _, err := w.coder.CreateToken(coderd.TokenOptions{User: user, Name: name, Lifetime: 100 * time.Hour})
	w.must(err)
	return value
}

func (w *world) writeCertificate(c *certs.Certificate) {
	w.t.Helper()
	w.writeSecret("mtls", map[string]string{"tls.crt": string(c.CertPEM), "tls.key": string(c.KeyPEM)})
}

// writeSecret creates a Secret, or replaces its data.
func (w *world) writeSecret(name string, data map[string]string) {
	w.t.Helper()
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(object), object)
	w.must(client.IgnoreNotFound(err))
	object.Data = map[string][]byte{}
	for key, value := range data {
		object.Data[key] = []byte(value)
	}
	if err != nil {
		w.must(w.client.Create(w.t.Context(), object))
		return
	}
	w.must(w.client.Update(w.t.Context(), object))
}

func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, object := range objects {
		w.must(w.client.Create(w.t.Context(), object))
	}
}

func (w *world) delete(object client.Object) {
	w.t.Helper()
	w.must(client.IgnoreNotFound(w.client.Delete(w.t.Context(), object)))
}

// change edits an object as a user would, again where somebody else was quicker.
func change[T client.Object](w *world, object T, edit func(T)) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) error {
		if err := w.client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		edit(object)
		return w.client.Update(ctx, object)
	})
}

// deployment refers to the world's server and its Secrets, and lists tokens as
// often as it may.
func (w *world) deployment() *v1alpha1.CoderDeployment {
	return &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "prod"},
		Spec: v1alpha1.CoderDeploymentSpec{
			URL: w.gate.http.URL,
			TLS: &v1alpha1.TLSConfig{
				ClientCertificateSecretName: "mtls",
				CABundle:                    &v1alpha1.CABundleRef{Kind: "Secret", Name: "ca", Key: "ca.crt"},
			},
			Token:     &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "token"}},
			Verify:    v1alpha1.VerifyPolicy{Interval: "500ms", QuietPeriod: "100ms", MaxDelay: "1s", Timeout: "20s"},
			RateLimit: v1alpha1.RateLimit{RequestsPerMinute: 100000},
		},
	}
}

func (w *world) session(name string, auth v1alpha1.Auth) *v1alpha1.CoderSession {
	return &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"}, Auth: auth},
	}
}

// minted is a session that mints for a user for an hour, with this overlap.
func (w *world) minted(name, user string, overlap v1alpha1.Duration) *v1alpha1.CoderSession {
	s := w.session(name, v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user, Lifetime: "1h"}})
	s.Spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
	return s
}

func (w *world) supplied(name, secretName string) *v1alpha1.CoderSession {
	return w.session(name, v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{
		SecretRef: v1alpha1.TokenSecretRef{Name: v1alpha1.ObjectName(secretName), Key: "token"},
	}})
}

func (w *world) certificate(name string) *v1alpha1.CoderSession {
	return w.session(name, v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}})
}

func noRoots() (*x509.CertPool, error) { return x509.NewCertPool(), nil }

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

// crashEnv is one case: a namespace, a Coder server and the operators that work there.
type crashEnv struct {
	T         *testing.T
	Namespace string
	Cluster   *kube.Cluster
	Client    client.Client // the user's: direct, uncounted
	Coder     *coderd.Server
	gate      *gate
	keys      *certificates
	clock     *shifted.Clock
	// orphanGrace is long where the sessions themselves must leave nothing behind.
	orphanGrace time.Duration
	operators   []*operator
	// Label says, in every message, which case this is.
	Label string
	// foreign are values of tokens that are none of the operator's business.
	foreign []string
	// bystander is the Secret of the session that nothing happens to; nil: none.
	bystander *corev1.Secret
}

// newEnv starts a Coder server with the users operator (owner), ci-bot and ada,
// and writes the Secrets that a deployment refers to.
func newEnv(t *testing.T, label string) *crashEnv {
	t.Helper()
	w := &crashEnv{T: t, Cluster: kube.ForTest(t), clock: &shifted.Clock{}, orphanGrace: time.Hour, Label: label}
	var err error
	w.keys, err = material()
	w.Must(err)
	w.Client = w.Cluster.Client
	w.Namespace = w.Cluster.Namespace(t, nil)
	w.Coder = coderd.New(coderd.Options{DisableRateLimits: true, Clock: w.clock})
	w.gate = newGate(t, w.Coder, w.keys)
	for name, roles := range map[string][]string{"operator": {"owner"}, "ci-bot": nil, "ada": nil} {
		user, err := w.Coder.CreateUser(coderd.UserOptions{Username: name, Roles: roles})
		w.Must(err)
		if name == "operator" {
			w.gate.owner = user.ID
		}
	}
	w.WriteSecret("token", map[string]string{"token": w.userToken("operator", "")})
	w.writeCertificate(w.keys.operator)
	w.WriteSecret("ca", map[string]string{"ca.crt": string(w.keys.servers.PEM())})
	for _, name := range []string{"laptop", "cso-elsewher-0badcafe-1"} {
		w.foreign = append(w.foreign, w.userToken("ci-bot", name))
	}
	return w
}

func (w *crashEnv) Must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatalf("%s: %v", w.Label, err)
	}
}

// userToken makes a token on the server, past the operator.
func (w *crashEnv) userToken(user, name string) string {
	w.T.Helper()
	value, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: user, Name: name, Lifetime: 100 * time.Hour})
	w.Must(err)
	return value
}

func (w *crashEnv) writeCertificate(c *certs.Certificate) {
	w.T.Helper()
	w.WriteSecret("mtls", map[string]string{"tls.crt": string(c.CertPEM), "tls.key": string(c.KeyPEM)})
}

// WriteSecret creates a Secret, or replaces its data.
func (w *crashEnv) WriteSecret(name string, data map[string]string) {
	w.T.Helper()
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
	err := w.Client.Get(w.T.Context(), client.ObjectKeyFromObject(object), object)
	w.Must(client.IgnoreNotFound(err))
	object.Data = map[string][]byte{}
	for key, value := range data {
		object.Data[key] = []byte(value)
	}
	if err != nil {
		w.Must(w.Client.Create(w.T.Context(), object))
		return
	}
	w.Must(w.Client.Update(w.T.Context(), object))
}

func (w *crashEnv) Create(objects ...client.Object) {
	w.T.Helper()
	for _, object := range objects {
		w.Must(w.Client.Create(w.T.Context(), object))
	}
}

func (w *crashEnv) Delete(object client.Object) {
	w.T.Helper()
	w.Must(client.IgnoreNotFound(w.Client.Delete(w.T.Context(), object)))
}

// editObject edits an object as a user would, again where somebody else was quicker.
func editObject[T client.Object](w *crashEnv, object T, edit func(T)) {
	w.T.Helper()
	w.Eventually(func(ctx context.Context) error {
		if err := w.Client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		edit(object)
		return w.Client.Update(ctx, object)
	})
}

// newDeployment refers to the world's server and its Secrets, and lists tokens as
// often as it may.
func (w *crashEnv) newDeployment() *v1alpha1.CoderDeployment {
	return &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "prod"},
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

func (w *crashEnv) NewSession(name string, auth v1alpha1.Auth) *v1alpha1.CoderSession {
	return &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name},
		Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"}, Auth: auth},
	}
}

// newMintedSession is a session that mints for a user for an hour, with this overlap.
func (w *crashEnv) newMintedSession(name, user string, overlap v1alpha1.Duration) *v1alpha1.CoderSession {
	s := w.NewSession(name, v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user, Lifetime: "1h"}})
	s.Spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
	return s
}

func (w *crashEnv) newSuppliedSession(name, secretName string) *v1alpha1.CoderSession {
	return w.NewSession(name, v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{
		SecretRef: v1alpha1.TokenSecretRef{Name: v1alpha1.ObjectName(secretName), Key: "token"},
	}})
}

func (w *crashEnv) NewCertificateSession(name string) *v1alpha1.CoderSession {
	return w.NewSession(name, v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}})
}

func noRoots() (*x509.CertPool, error) { return x509.NewCertPool(), nil }

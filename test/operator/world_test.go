// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// operatorEnv is a test's own namespace, Coder server and operator.
type operatorEnv struct {
	T         *testing.T
	Namespace string
	Cluster   *kube.Cluster
	Client    client.Client // the user's: direct, uncounted

	Coder    *coderd.Server
	listener *coderd.Listener
	clock    controllers.Clock // of the operator
	// Servers signs the server's certificate, clients those of its clients.
	Servers, Clients *certs.Authority
	// sentinels are values that may stand nowhere but in Secrets.
	sentinels []string

	operator *operator
}

// setting changes the world before its server starts.
type setting func(*envOptions)

type envOptions struct {
	server coderd.Options
	edge   coderd.Edge
	clock  controllers.Clock
	mTLS   bool
	labels map[string]string
}

// withMTLS makes the server demand client certificates.
func withMTLS(o *envOptions) { o.mTLS = true }

// certificateIdentifies makes an edge take the caller from its certificate.
func certificateIdentifies(o *envOptions) {
	o.mTLS = true
	o.edge.IdentifyByCertificate = true
}

// withProfile chooses the generation of the server.
func withProfile(p coderd.Profile) setting { return func(o *envOptions) { o.server.Profile = p } }

// newEnv starts a Coder server with the users operator (owner), ci-bot and ada,
// and writes the Secrets that a deployment refers to: mtls, ca, headers, token.
func newEnv(t *testing.T, settings ...setting) *operatorEnv {
	t.Helper()
	t.Parallel()
	o := envOptions{server: coderd.Options{DisableRateLimits: true}, clock: clock.RealClock{}}
	for _, set := range settings {
		set(&o)
	}
	w := &operatorEnv{T: t, Cluster: kube.ForTest(t), clock: o.clock}
	w.Client = w.Cluster.Client
	w.Namespace = w.Cluster.Namespace(t, o.labels)
	w.Coder = coderd.New(o.server)
	w.startServer(o)
	for name, roles := range map[string][]string{"operator": {"owner"}, "ci-bot": nil, "ada": nil} {
		if _, err := w.Coder.CreateUser(coderd.UserOptions{Username: name, Roles: roles}); err != nil {
			t.Fatal(err)
		}
	}
	w.WriteSecret("token", map[string]string{"token": w.userToken("operator")})
	w.WriteSecret("edge-headers", map[string]string{"id": w.newSentinel("header-value")})
	w.writeClientCertificate("mtls", "operator")
	w.WriteConfigMap("ca", map[string]string{"ca.crt": string(w.Servers.PEM())})
	return w
}

func (w *operatorEnv) startServer(o envOptions) {
	w.T.Helper()
	var err error
	w.Servers, err = certs.NewAuthority("servers", clock.RealClock{})
	w.Must(err)
	w.Clients, err = certs.NewAuthority("clients", clock.RealClock{})
	w.Must(err)
	certificate, err := w.Servers.Issue(certs.Request{})
	w.Must(err)
	o.edge.Certificate = &certificate.TLS
	if o.mTLS {
		o.edge.ClientCAs = w.Clients.Pool()
	}
	w.listener, err = w.Coder.Start(coderd.ListenOptions{Edge: o.edge})
	w.Must(err)
	w.T.Cleanup(func() { _ = w.listener.Close() })
}

func (w *operatorEnv) Must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// userToken makes a token on the server, past the operator.
func (w *operatorEnv) userToken(user string) string {
	w.T.Helper()
	value, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: user, Lifetime: 100 * time.Hour})
	w.Must(err)
	w.sentinels = append(w.sentinels, value)
	return value
}

// newSentinel is a made-up secret value.
func (w *operatorEnv) newSentinel(what string) string {
	value := fmt.Sprintf("sentinel-%s-%s", what, w.Namespace)
	w.sentinels = append(w.sentinels, value)
	return value
}

func (w *operatorEnv) writeClientCertificate(name, user string) *certs.Certificate {
	w.T.Helper()
	certificate, err := w.Clients.Issue(certs.Request{Usage: certs.Client, CommonName: user})
	w.Must(err)
	w.WriteSecret(name, map[string]string{"tls.crt": string(certificate.CertPEM), "tls.key": string(certificate.KeyPEM)})
	return certificate
}

// WriteSecret creates a Secret, or replaces its data.
func (w *operatorEnv) WriteSecret(name string, data map[string]string) {
	w.T.Helper()
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
	bytes := map[string][]byte{}
	for key, value := range data {
		bytes[key] = []byte(value)
	}
	w.Write(object, func() { object.Data = bytes })
}

func (w *operatorEnv) WriteConfigMap(name string, data map[string]string) {
	w.T.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
	w.Write(object, func() { object.Data = data })
}

// Write creates an object, or updates the one that is there, again where somebody else
// was quicker.
func (w *operatorEnv) Write(object client.Object, change func()) {
	w.T.Helper()
	w.Must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		err := w.Client.Get(w.T.Context(), client.ObjectKeyFromObject(object), object)
		change()
		if client.IgnoreNotFound(err) == nil && err != nil {
			return w.Client.Create(w.T.Context(), object)
		}
		if err != nil {
			return err
		}
		return w.Client.Update(w.T.Context(), object)
	}))
}

func (w *operatorEnv) Create(objects ...client.Object) {
	w.T.Helper()
	for _, object := range objects {
		w.Must(w.Client.Create(w.T.Context(), object))
	}
}

func (w *operatorEnv) Delete(object client.Object) {
	w.T.Helper()
	w.Must(client.IgnoreNotFound(w.Client.Delete(w.T.Context(), object)))
}

// newDeployment refers to the world's server and all its Secrets, with a short
// interval so that tests need not wait.
func (w *operatorEnv) newDeployment(name string, changes ...func(*v1alpha1.CoderDeploymentSpec)) *v1alpha1.CoderDeployment {
	value := "plain"
	d := &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name},
		Spec: v1alpha1.CoderDeploymentSpec{
			URL: w.listener.URL(),
			TLS: &v1alpha1.TLSConfig{
				ClientCertificateSecretName: "mtls",
				CABundle:                    &v1alpha1.CABundleRef{Kind: "ConfigMap", Name: "ca"},
			},
			Headers: []v1alpha1.Header{
				{Name: "X-Edge-Id", ValueFrom: &v1alpha1.HeaderSource{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "edge-headers", Key: "id"}}},
				{Name: "X-Plain", Value: &value},
			},
			Token:     &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "token"}},
			Verify:    v1alpha1.VerifyPolicy{Interval: "1h", QuietPeriod: "200ms", MaxDelay: "2s", Timeout: "5s"},
			RateLimit: v1alpha1.RateLimit{RequestsPerMinute: 100000},
		},
	}
	for _, change := range changes {
		change(&d.Spec)
	}
	return d
}

// NewSession refers to the deployment "prod".
func (w *operatorEnv) NewSession(name string, auth v1alpha1.Auth, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name},
		Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"}, Auth: auth},
	}
	for _, change := range changes {
		change(&s.Spec)
	}
	return s
}

func (w *operatorEnv) NewMintedSession(name, user string, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	return w.NewSession(name, v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user}}, changes...)
}

func (w *operatorEnv) NewSuppliedSession(name, secretName string, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	auth := v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{Name: v1alpha1.ObjectName(secretName)}}}
	return w.NewSession(name, auth, changes...)
}

func (w *operatorEnv) NewCertificateSession(name string, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	return w.NewSession(name, v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}, changes...)
}

func withInterval(interval v1alpha1.Duration) func(*v1alpha1.CoderDeploymentSpec) {
	return func(spec *v1alpha1.CoderDeploymentSpec) { spec.Verify.Interval = interval }
}

func systemRoots() (*x509.CertPool, error) { return x509.NewCertPool(), nil }

// newBackground outlives a test's own context, for what its cleanup stops.
func newBackground() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

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

// world is a test's own namespace, Coder server and operator.
type world struct {
	t         *testing.T
	namespace string
	cluster   *kube.Cluster
	client    client.Client // the user's: direct, uncounted

	coder    *coderd.Server
	listener *coderd.Listener
	clock    controllers.Clock // of the operator
	// servers signs the server's certificate, clients those of its clients.
	servers, clients *certs.Authority
	// sentinels are values that may stand nowhere but in Secrets.
	sentinels []string

	operator *operator
}

// setting changes the world before its server starts.
type setting func(*worldOptions)

type worldOptions struct {
	server coderd.Options
	edge   coderd.Edge
	clock  controllers.Clock
	mTLS   bool
	labels map[string]string
}

// mTLS makes the server demand client certificates.
func mTLS(o *worldOptions) { o.mTLS = true }

// certificateIdentifies makes an edge take the caller from its certificate.
func certificateIdentifies(o *worldOptions) {
	o.mTLS = true
	o.edge.IdentifyByCertificate = true
}

// profile chooses the generation of the server.
func profile(p coderd.Profile) setting { return func(o *worldOptions) { o.server.Profile = p } }

// newWorld starts a Coder server with the users operator (owner), ci-bot and ada,
// and writes the Secrets that a deployment refers to: mtls, ca, headers, token.
func newWorld(t *testing.T, settings ...setting) *world {
	t.Helper()
	t.Parallel()
	o := worldOptions{server: coderd.Options{DisableRateLimits: true}, clock: clock.RealClock{}}
	for _, set := range settings {
		set(&o)
	}
	w := &world{t: t, cluster: kube.ForTest(t), clock: o.clock}
	w.client = w.cluster.Client
	w.namespace = w.cluster.Namespace(t, o.labels)
	w.coder = coderd.New(o.server)
	w.startServer(o)
	for name, roles := range map[string][]string{"operator": {"owner"}, "ci-bot": nil, "ada": nil} {
		if _, err := w.coder.CreateUser(coderd.UserOptions{Username: name, Roles: roles}); err != nil {
			t.Fatal(err)
		}
	}
	w.writeSecret("token", map[string]string{"token": w.userToken("operator")})
	w.writeSecret("edge-headers", map[string]string{"id": w.sentinel("header-value")})
	w.writeClientCertificate("mtls", "operator")
	w.writeConfigMap("ca", map[string]string{"ca.crt": string(w.servers.PEM())})
	return w
}

func (w *world) startServer(o worldOptions) {
	w.t.Helper()
	var err error
	w.servers, err = certs.NewAuthority("servers", clock.RealClock{})
	w.must(err)
	w.clients, err = certs.NewAuthority("clients", clock.RealClock{})
	w.must(err)
	certificate, err := w.servers.Issue(certs.Request{})
	w.must(err)
	o.edge.Certificate = &certificate.TLS
	if o.mTLS {
		o.edge.ClientCAs = w.clients.Pool()
	}
	w.listener, err = w.coder.Start(coderd.ListenOptions{Edge: o.edge})
	w.must(err)
	w.t.Cleanup(func() { _ = w.listener.Close() })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// userToken makes a token on the server, past the operator.
func (w *world) userToken(user string) string {
	w.t.Helper()
	value, _, err := w.coder.CreateToken(coderd.TokenOptions{User: user, Lifetime: 100 * time.Hour})
	w.must(err)
	w.sentinels = append(w.sentinels, value)
	return value
}

// sentinel is a made-up secret value.
func (w *world) sentinel(what string) string {
	value := fmt.Sprintf("sentinel-%s-%s", what, w.namespace)
	w.sentinels = append(w.sentinels, value)
	return value
}

func (w *world) writeClientCertificate(name, user string) *certs.Certificate {
	w.t.Helper()
	certificate, err := w.clients.Issue(certs.Request{Usage: certs.Client, CommonName: user})
	w.must(err)
	w.writeSecret(name, map[string]string{"tls.crt": string(certificate.CertPEM), "tls.key": string(certificate.KeyPEM)})
	return certificate
}

// writeSecret creates a Secret, or replaces its data.
func (w *world) writeSecret(name string, data map[string]string) {
	w.t.Helper()
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	bytes := map[string][]byte{}
	for key, value := range data {
		bytes[key] = []byte(value)
	}
	w.write(object, func() { object.Data = bytes })
}

func (w *world) writeConfigMap(name string, data map[string]string) {
	w.t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.write(object, func() { object.Data = data })
}

// write creates an object, or updates the one that is there, again where somebody else
// was quicker.
func (w *world) write(object client.Object, change func()) {
	w.t.Helper()
	w.must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(object), object)
		change()
		if client.IgnoreNotFound(err) == nil && err != nil {
			return w.client.Create(w.t.Context(), object)
		}
		if err != nil {
			return err
		}
		return w.client.Update(w.t.Context(), object)
	}))
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

// deployment refers to the world's server and all its Secrets, with a short
// interval so that tests need not wait.
func (w *world) deployment(name string, changes ...func(*v1alpha1.CoderDeploymentSpec)) *v1alpha1.CoderDeployment {
	value := "plain"
	d := &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
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

// session refers to the deployment "prod".
func (w *world) session(name string, auth v1alpha1.Auth, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"}, Auth: auth},
	}
	for _, change := range changes {
		change(&s.Spec)
	}
	return s
}

func (w *world) mint(name, user string, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	return w.session(name, v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user}}, changes...)
}

func (w *world) supplied(name, secretName string, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	auth := v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{Name: v1alpha1.ObjectName(secretName)}}}
	return w.session(name, auth, changes...)
}

func (w *world) certificate(name string, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	return w.session(name, v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}, changes...)
}

func every(interval v1alpha1.Duration) func(*v1alpha1.CoderDeploymentSpec) {
	return func(spec *v1alpha1.CoderDeploymentSpec) { spec.Verify.Interval = interval }
}

func systemRoots() (*x509.CertPool, error) { return x509.NewCertPool(), nil }

// background outlives a test's own context, for what its cleanup stops.
func background() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

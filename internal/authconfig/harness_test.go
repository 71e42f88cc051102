// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"crypto/x509"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/test/fakeapi"
)

// cluster holds Secrets and ConfigMaps of the namespace "coder".
type cluster struct{ *fakeapi.Server }

func newCluster() *cluster { return &cluster{fakeapi.New()} }

func secretRef(name string) authconfig.Reference {
	return authconfig.Reference{Kind: authconfig.KindSecret, Namespace: "coder", Name: name}
}

func configMapRef(name string) authconfig.Reference {
	return authconfig.Reference{Kind: authconfig.KindConfigMap, Namespace: "coder", Name: name}
}

func keyOf(ref authconfig.Reference) client.ObjectKey {
	return client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
}

func (c *cluster) putObject(ref authconfig.Reference, obj client.Object) {
	obj.SetNamespace(ref.Namespace)
	obj.SetName(ref.Name)
	c.Put(obj)
}

func (c *cluster) putSecret(name string, data map[string]string) {
	bytes := make(map[string][]byte, len(data))
	for key, value := range data {
		bytes[key] = []byte(value)
	}
	c.putObject(secretRef(name), &corev1.Secret{Data: bytes})
}

func (c *cluster) configMap(name string, data map[string]string) {
	c.putObject(configMapRef(name), &corev1.ConfigMap{Data: data})
}

func (c *cluster) storedSecret(name string) *corev1.Secret {
	return fakeapi.Stored[corev1.Secret](c.Server, keyOf(secretRef(name)))
}

func (c *cluster) removeSecret(name string) {
	fakeapi.Remove[corev1.Secret](c.Server, keyOf(secretRef(name)))
}

// editSecret changes the data of a Secret.
func (c *cluster) editSecret(name string, change func(data map[string][]byte)) {
	fakeapi.Edit(c.Server, keyOf(secretRef(name)), func(s *corev1.Secret) { change(s.Data) })
}

// touchMetadata changes an object's metadata only.
func (c *cluster) touchMetadata(ref authconfig.Reference) {
	annotations := map[string]string{"touched": "true"}
	if ref.Kind == authconfig.KindSecret {
		fakeapi.Edit(c.Server, keyOf(ref), func(s *corev1.Secret) { s.Annotations = annotations })
		return
	}
	fakeapi.Edit(c.Server, keyOf(ref), func(m *corev1.ConfigMap) { m.Annotations = annotations })
}

func (c *cluster) cloneObjects() *cluster { return &cluster{c.Clone()} }

// failReads makes reads of an object fail.
func (c *cluster) failReads(ref authconfig.Reference, err error) {
	c.Before(func(r fakeapi.Request) error {
		if r.Kind == ref.Kind && r.Key == keyOf(ref) {
			return err
		}
		return nil
	})
}

func (c *cluster) newResolver(t testing.TB) *authconfig.Resolver {
	t.Helper()
	return c.resolverWithRoots(t, func() (*x509.CertPool, error) { return x509.NewCertPool(), nil })
}

func (c *cluster) resolverWithRoots(t testing.TB, roots func() (*x509.CertPool, error)) *authconfig.Resolver {
	t.Helper()
	key, err := fingerprint.NewKey([]byte("a key for tests, of 32 and more bytes"))
	if err != nil {
		t.Fatal(err)
	}
	return authconfig.NewResolver(c.Contents(), c.Metadata(), key, roots)
}

func (c *cluster) resolve(t testing.TB, d *v1alpha1.CoderDeployment) *authconfig.Snapshot {
	t.Helper()
	s, err := c.newResolver(t).Resolve(t.Context(), d)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	return s
}

// newDeployment returns a CoderDeployment coder/prod.
func newDeployment(with ...func(*v1alpha1.CoderDeployment)) *v1alpha1.CoderDeployment {
	d := &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod", UID: types.UID("uid-1"), Generation: 3},
		Spec:       v1alpha1.CoderDeploymentSpec{URL: "https://coder.example.com"},
	}
	for _, set := range with {
		set(d)
	}
	return d
}

func withURL(url string) func(*v1alpha1.CoderDeployment) {
	return func(d *v1alpha1.CoderDeployment) { d.Spec.URL = url }
}

func withProxy(url string) func(*v1alpha1.CoderDeployment) {
	return func(d *v1alpha1.CoderDeployment) { d.Spec.ProxyURL = url }
}

func withTLS(set func(*v1alpha1.TLSConfig)) func(*v1alpha1.CoderDeployment) {
	return func(d *v1alpha1.CoderDeployment) {
		if d.Spec.TLS == nil {
			d.Spec.TLS = &v1alpha1.TLSConfig{}
		}
		set(d.Spec.TLS)
	}
}

func withCertificate(name v1alpha1.ObjectName) func(*v1alpha1.CoderDeployment) {
	return withTLS(func(c *v1alpha1.TLSConfig) { c.ClientCertificateSecretName = name })
}

func withBundle(kind string, name v1alpha1.ObjectName, key v1alpha1.DataKey) func(*v1alpha1.CoderDeployment) {
	return withTLS(func(c *v1alpha1.TLSConfig) { c.CABundle = &v1alpha1.CABundleRef{Kind: kind, Name: name, Key: key} })
}

func withToken(name v1alpha1.ObjectName, key v1alpha1.DataKey) func(*v1alpha1.CoderDeployment) {
	return func(d *v1alpha1.CoderDeployment) {
		d.Spec.Token = &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: name, Key: key}}
	}
}

func withHeader(name, value string) func(*v1alpha1.CoderDeployment) {
	return addHeader(v1alpha1.Header{Name: name, Value: &value})
}

func withSecretHeader(name string, secret v1alpha1.ObjectName, key v1alpha1.DataKey) func(*v1alpha1.CoderDeployment) {
	from := &v1alpha1.HeaderSource{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: secret, Key: key}}
	return addHeader(v1alpha1.Header{Name: name, ValueFrom: from})
}

func withConfigMapHeader(
	name string, config v1alpha1.ObjectName, key v1alpha1.DataKey,
) func(*v1alpha1.CoderDeployment) {
	from := &v1alpha1.HeaderSource{ConfigMapKeyRef: &v1alpha1.ConfigMapKeyRef{Name: config, Key: key}}
	return addHeader(v1alpha1.Header{Name: name, ValueFrom: from})
}

func addHeader(h v1alpha1.Header) func(*v1alpha1.CoderDeployment) {
	return func(d *v1alpha1.CoderDeployment) { d.Spec.Headers = append(d.Spec.Headers, h) }
}

// completeDeployment returns a deployment with all references set, and the cluster that it resolves in.
func completeDeployment(t testing.TB) (*cluster, *v1alpha1.CoderDeployment) {
	t.Helper()
	c, own := newCluster(), issueSelfSigned(t, "operator", keyECDSA)
	c.putSecret("mtls", map[string]string{"tls.crt": own.cert, "tls.key": own.key})
	c.configMap("corp-ca", map[string]string{"ca.crt": issueAuthority(t, "corp").cert})
	c.putSecret("edge", map[string]string{"id": "edge-id\n", "secret": "edge-secret"})
	c.configMap("route", map[string]string{"via": "west"})
	c.putSecret("operator-token", map[string]string{"token": "abcdefghij-ABCDEFGHIJKLMNOPQRSTUV\n"})
	return c, newDeployment(
		withProxy("http://proxy.example.com:3128"),
		withCertificate("mtls"),
		withBundle("ConfigMap", "corp-ca", "ca.crt"),
		withTLS(func(c *v1alpha1.TLSConfig) { c.ServerName = "coder.internal" }),
		withSecretHeader("CF-Access-Client-Id", "edge", "id"),
		withSecretHeader("cf-access-client-secret", "edge", "secret"),
		withConfigMapHeader("X-Route", "route", "via"),
		withHeader("X-Team", "platform"),
		withToken("operator-token", "token"),
	)
}

func sortedKeys(m map[authconfig.Reference]string) []string {
	var out []string
	for ref := range maps.Keys(m) {
		out = append(out, ref.String())
	}
	slices.Sort(out)
	return out
}

// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
)

// cluster is an API server for Secrets and ConfigMaps of the namespace "coder". Every write gets
// the next resourceVersion. It answers reads of contents and of metadata.
type cluster struct {
	client.Reader // methods that are not defined here panic

	mu      sync.Mutex
	objects map[authconfig.Reference]client.Object
	version int
	reads   map[authconfig.Reference]int
	failing map[authconfig.Reference]error
}

func newCluster() *cluster {
	return &cluster{
		objects: make(map[authconfig.Reference]client.Object),
		version: 98, // so that the number of digits changes soon: versions are not compared as text
		reads:   make(map[authconfig.Reference]int),
		failing: make(map[authconfig.Reference]error),
	}
}

func secretRef(name string) authconfig.Reference {
	return authconfig.Reference{Kind: authconfig.KindSecret, Namespace: "coder", Name: name}
}

func configMapRef(name string) authconfig.Reference {
	return authconfig.Reference{Kind: authconfig.KindConfigMap, Namespace: "coder", Name: name}
}

func (c *cluster) put(ref authconfig.Reference, obj client.Object) {
	c.version++
	obj.SetNamespace(ref.Namespace)
	obj.SetName(ref.Name)
	obj.SetResourceVersion(strconv.Itoa(c.version))
	c.objects[ref] = obj
}

func (c *cluster) secret(name string, data map[string]string) {
	bytes := make(map[string][]byte, len(data))
	for key, value := range data {
		bytes[key] = []byte(value)
	}
	c.put(secretRef(name), &corev1.Secret{Data: bytes})
}

func (c *cluster) configMap(name string, data map[string]string) {
	c.put(configMapRef(name), &corev1.ConfigMap{Data: data})
}

// touch changes an object's metadata only.
func (c *cluster) touch(ref authconfig.Reference) {
	obj := c.objects[ref]
	obj.SetAnnotations(map[string]string{"touched": strconv.Itoa(c.version)})
	c.put(ref, obj)
}

func (c *cluster) clone() *cluster {
	out := newCluster()
	out.version = c.version
	for ref, obj := range c.objects {
		out.objects[ref] = obj.DeepCopyObject().(client.Object)
	}
	return out
}

func (c *cluster) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ref := authconfig.Reference{Namespace: key.Namespace, Name: key.Name}
	switch into := obj.(type) {
	case *corev1.Secret:
		ref.Kind = authconfig.KindSecret
	case *corev1.ConfigMap:
		ref.Kind = authconfig.KindConfigMap
	case *metav1.PartialObjectMetadata:
		ref.Kind = into.Kind
	}
	c.reads[ref]++
	if err := c.failing[ref]; err != nil {
		return err
	}
	found, ok := c.objects[ref]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: ref.Kind}, ref.Name)
	}
	switch into := obj.(type) {
	case *corev1.Secret:
		found.(*corev1.Secret).DeepCopyInto(into)
	case *corev1.ConfigMap:
		found.(*corev1.ConfigMap).DeepCopyInto(into)
	case *metav1.PartialObjectMetadata:
		into.SetResourceVersion(found.GetResourceVersion())
	}
	return nil
}

// contents rejects reads of metadata, and metadata those of contents, so that a test fails if the
// code uses the wrong reader.
type contents struct{ *cluster }

func (c contents) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if _, ok := obj.(*metav1.PartialObjectMetadata); ok {
		return errors.New("metadata was read from the API server")
	}
	return c.cluster.Get(ctx, key, obj, opts...)
}

type metadata struct{ *cluster }

func (m metadata) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if _, ok := obj.(*metav1.PartialObjectMetadata); !ok {
		return errors.New("contents were read from the cache")
	}
	return m.cluster.Get(ctx, key, obj, opts...)
}

func (c *cluster) resolver(t testing.TB) *authconfig.Resolver {
	t.Helper()
	return c.resolverWithRoots(t, func() (*x509.CertPool, error) { return x509.NewCertPool(), nil })
}

func (c *cluster) resolverWithRoots(t testing.TB, roots func() (*x509.CertPool, error)) *authconfig.Resolver {
	t.Helper()
	key, err := fingerprint.NewKey([]byte("a key for tests, of 32 and more bytes"))
	if err != nil {
		t.Fatal(err)
	}
	return authconfig.NewResolver(contents{c}, metadata{c}, key, roots)
}

func (c *cluster) resolve(t testing.TB, d *v1alpha1.CoderDeployment) *authconfig.Snapshot {
	t.Helper()
	s, err := c.resolver(t).Resolve(t.Context(), d)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	return s
}

// deployment returns a CoderDeployment coder/prod.
func deployment(with ...func(*v1alpha1.CoderDeployment)) *v1alpha1.CoderDeployment {
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

// complete returns a deployment with all references set, and the cluster that it resolves in.
func complete(t testing.TB) (*cluster, *v1alpha1.CoderDeployment) {
	t.Helper()
	c, own := newCluster(), issue(t, "operator", keyECDSA)
	c.secret("mtls", map[string]string{"tls.crt": own.cert, "tls.key": own.key})
	c.configMap("corp-ca", map[string]string{"ca.crt": authority(t, "corp").cert})
	c.secret("edge", map[string]string{"id": "edge-id\n", "secret": "edge-secret"})
	c.configMap("route", map[string]string{"via": "west"})
	c.secret("operator-token", map[string]string{"token": "abcdefghij-ABCDEFGHIJKLMNOPQRSTUV\n"})
	return c, deployment(
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

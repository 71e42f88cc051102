// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// longWait is the timeout of eventually. A passing test never waits that long.
const longWait = 20 * time.Second

// cluster holds the Secrets of the namespace "coder". Their contents are always current. Their
// metadata can lag behind, as in a cache.
type cluster struct {
	mu       sync.Mutex
	secrets  map[string]*corev1.Secret
	metadata map[string]string
	version  int
	lagging  bool
	reads    map[string]int
	blind    error // of the metadata reader
}

func newCluster() *cluster {
	return &cluster{secrets: map[string]*corev1.Secret{}, metadata: map[string]string{}, version: 98,
		reads: map[string]int{}}
}

func (c *cluster) put(name string, data map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bytes := make(map[string][]byte, len(data))
	for key, value := range data {
		bytes[key] = []byte(value)
	}
	c.secrets[name] = &corev1.Secret{Data: bytes}
	c.stamp(name)
}

// touch changes the resourceVersion but no value.
func (c *cluster) touch(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stamp(name)
}

func (c *cluster) stamp(name string) {
	c.version++
	c.secrets[name].ResourceVersion = strconv.Itoa(c.version)
	if !c.lagging {
		c.metadata[name] = strconv.Itoa(c.version)
	}
}

// lag makes the cache lag behind, or lets it catch up.
func (c *cluster) lag(lagging bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lagging = lagging
	if lagging {
		return
	}
	for name, secret := range c.secrets {
		c.metadata[name] = secret.ResourceVersion
	}
}

func (c *cluster) blindfold(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blind = err
}

// readsOf returns how often the contents of a Secret were read.
func (c *cluster) readsOf(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads[name]
}

// contents and metadata reject each other's objects, so that a test fails if the code uses the
// wrong reader.
type contents struct {
	client.Reader
	*cluster
}

func (c contents) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	into, ok := obj.(*corev1.Secret)
	if !ok {
		return errors.New("something else than a Secret was read")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads[key.Name]++
	found := c.secrets[key.Name]
	if found == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	found.DeepCopyInto(into)
	return nil
}

type metadata struct {
	client.Reader
	cluster *cluster
}

func (m metadata) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	into, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return errors.New("contents were read from the cache")
	}
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	if m.cluster.blind != nil {
		return m.cluster.blind
	}
	version, ok := m.cluster.metadata[key.Name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	into.SetResourceVersion(version)
	return nil
}

// world is a pool, a cluster and a simulated server with an owner named operator.
type world struct {
	t       *testing.T
	clock   clock.WithTicker
	cluster *cluster
	server  *coderd.Server
	ln      *coderd.Listener
	pool    *connection.Pool
	retries atomic.Int32

	mu          sync.Mutex
	deployments map[types.NamespacedName]*v1alpha1.CoderDeployment
	settling    map[types.NamespacedName]bool
}

// newWorld starts the server on plain HTTP. Both sides use the same clock.
func newWorld(t *testing.T, clk clock.WithTicker) *world {
	t.Helper()
	return newWorldAt(t, clk, coderd.ListenOptions{})
}

func newWorldAt(t *testing.T, clk clock.WithTicker, at coderd.ListenOptions) *world {
	t.Helper()
	w := &world{
		t: t, clock: clk, cluster: newCluster(), server: coderd.New(coderd.Options{Clock: clk, DisableRateLimits: true}),
		deployments: map[types.NamespacedName]*v1alpha1.CoderDeployment{}, settling: map[types.NamespacedName]bool{},
	}
	var err error
	if w.ln, err = w.server.Start(at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.ln.Close() })
	w.user("operator", coderd.RoleOwner)
	key, err := fingerprint.NewKey([]byte("a key for tests, of 32 and more bytes"))
	if err != nil {
		t.Fatal(err)
	}
	roots := func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }
	w.pool = connection.NewPool(connection.Options{
		Resolver:   authconfig.NewResolver(contents{cluster: w.cluster}, metadata{cluster: w.cluster}, key, roots),
		Deployment: w.get,
		Settling:   func(key types.NamespacedName) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.settling[key] },
		Clock:      clk,
		Names:      inventory.Names{Cluster: "abcdefgh"},
		UserAgent:  "test",
		Observe:    func(types.NamespacedName, coder.Call) {},
		Retried:    func(types.NamespacedName) { w.retries.Add(1) },
	})
	return w
}

func (w *world) get(_ context.Context, key types.NamespacedName) (*v1alpha1.CoderDeployment, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.deployments[key]
	if d == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "coderdeployments"}, key.Name)
	}
	return d.DeepCopy(), nil
}

func (w *world) user(name string, roles ...string) coderd.User {
	w.t.Helper()
	u, err := w.server.CreateUser(coderd.UserOptions{Username: name, Roles: roles})
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// token makes a token of the operator's and returns its value and id.
func (w *world) token() (value, id string) {
	w.t.Helper()
	value, key, err := w.server.CreateToken(coderd.TokenOptions{User: "operator"})
	if err != nil {
		w.t.Fatal(err)
	}
	return value, key.ID
}

// site is a deployment with its connection, and the Secret of the same name that holds its token.
type site struct {
	*world
	*connection.Connection
	key types.NamespacedName
}

// deploy creates a deployment with a token of the operator's and connects it.
func (w *world) deploy(name string, with ...func(*v1alpha1.CoderDeploymentSpec)) *site {
	w.t.Helper()
	value, _ := w.token()
	w.cluster.put(name, map[string]string{"token": value})
	s := &site{world: w, key: types.NamespacedName{Namespace: "coder", Name: name}}
	d := &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec: v1alpha1.CoderDeploymentSpec{
			URL:   w.ln.URL(),
			Token: &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: v1alpha1.ObjectName(name), Key: "token"}},
		},
	}
	for _, set := range with {
		set(&d.Spec)
	}
	w.mu.Lock()
	w.deployments[s.key] = d
	w.mu.Unlock()
	s.Connection = w.pool.Get(s.key)
	s.renew()
	return s
}

// edit changes the spec.
func (s *site) edit(change func(*v1alpha1.CoderDeploymentSpec)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deployments[s.key].DeepCopy()
	change(&d.Spec)
	d.Generation++
	s.deployments[s.key] = d
}

func (s *site) object() *v1alpha1.CoderDeployment {
	s.t.Helper()
	d, err := s.get(s.t.Context(), s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *site) renew() *connection.ResolvedClient {
	s.t.Helper()
	resolved, err := s.Resolve(s.t.Context(), s.object())
	if err != nil {
		s.t.Fatalf("renew: %v", err)
	}
	return resolved
}

func (s *site) settle(settling bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settling[s.key] = settling
}

// rotate writes a new token into the Secret; the server no longer knows the old one.
func (s *site) rotate() (id string) {
	s.t.Helper()
	s.server.ClearFaults()
	for _, key := range s.server.Keys(coderd.KeyFilter{User: "operator"}) {
		if err := s.server.RevokeKey(key.ID); err != nil {
			s.t.Fatal(err)
		}
	}
	value, id := s.token()
	s.cluster.put(s.key.Name, map[string]string{"token": value})
	return id
}

// ask makes one request as the operator with priority Urgent.
func (s *site) ask(ctx context.Context) error { return s.askAs(ctx, connection.Urgent) }

func (s *site) askAs(ctx context.Context, priority connection.Priority) error {
	_, err := s.Do(connection.WithPriority(ctx, priority), askMe)
	return err
}

func askMe(ctx context.Context, resolved *connection.ResolvedClient) error {
	_, err := resolved.Client.Me(ctx)
	return err
}

func (s *site) mustAsk() {
	s.t.Helper()
	if err := s.ask(s.t.Context()); err != nil {
		s.t.Fatalf("the operator is refused: %v", err)
	}
}

// asked returns how many requests the server has received.
func (w *world) asked() int { return w.server.Count("", "") }

// eventually polls until holds returns true, or fails.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(longWait)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

func wantConfigChanging(t *testing.T, err error) {
	t.Helper()
	var changing *connection.ConfigChangingError
	if !errors.As(err, &changing) {
		t.Fatalf("error %v, want a ConfigChangingError", err)
	}
	if kind := coder.KindOf(err); kind != "" {
		t.Errorf("a ConfigChangingError has kind %s", kind)
	}
}

func wantKind(t *testing.T, err error, want coder.Kind) {
	t.Helper()
	var changing *connection.ConfigChangingError
	if errors.As(err, &changing) || coder.KindOf(err) != want {
		t.Fatalf("error %v of kind %q, want %q", err, coder.KindOf(err), want)
	}
}

// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"crypto/x509"
	"errors"
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

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/fakeapi"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// longWait is the timeout of eventually. A passing test never waits that long.
const longWait = 20 * time.Second

// cluster holds the Secrets of the namespace "coder". Their contents are always current. Their
// metadata can lag behind, as in a cache.
type cluster struct{ *fakeapi.Server }

func newCluster() *cluster { return &cluster{fakeapi.New()} }

func (c *cluster) putSecret(name string, data map[string]string) {
	bytes := make(map[string][]byte, len(data))
	for key, value := range data {
		bytes[key] = []byte(value)
	}
	c.Put(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: name}, Data: bytes})
}

// touchMetadata changes the resourceVersion but no value.
func (c *cluster) touchMetadata(name string) {
	fakeapi.Edit(c.Server, types.NamespacedName{Namespace: "coder", Name: name}, func(*corev1.Secret) {})
}

// failReads makes reads of metadata fail.
func (c *cluster) failReads(err error) {
	c.Before(func(r fakeapi.Request) error {
		if r.Metadata {
			return err
		}
		return nil
	})
}

// readsOf returns how often the contents of a Secret were read.
func (c *cluster) readsOf(name string) int { return c.Reads("Secret", name) }

// poolEnv is a pool, a cluster and a simulated server with an owner named operator.
type poolEnv struct {
	t       *testing.T
	clock   clock.WithTicker
	cluster *cluster
	server  *coderd.Server
	ln      *coderd.Listener
	pool    *connection.Pool
	retries atomic.Int32
	servers recordedServers

	mu          sync.Mutex
	deployments map[types.NamespacedName]*v1alpha1.CoderDeployment
	settling    map[types.NamespacedName]bool
}

// newPoolEnv starts the server on plain HTTP. Both sides use the same clock.
func newPoolEnv(t *testing.T, clk clock.WithTicker) *poolEnv {
	t.Helper()
	return newPoolEnvAt(t, clk, coderd.ListenOptions{})
}

func newPoolEnvAt(t *testing.T, clk clock.WithTicker, at coderd.ListenOptions) *poolEnv {
	t.Helper()
	w := &poolEnv{
		t: t, clock: clk, cluster: newCluster(), server: coderd.New(coderd.Options{Clock: clk, DisableRateLimits: true}),
		deployments: map[types.NamespacedName]*v1alpha1.CoderDeployment{}, settling: map[types.NamespacedName]bool{},
	}
	var err error
	if w.ln, err = w.server.Start(at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.ln.Close() })
	w.createUser("operator", coderd.RoleOwner)
	key, err := fingerprint.NewKey([]byte("a key for tests, of 32 and more bytes"))
	if err != nil {
		t.Fatal(err)
	}
	roots := func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }
	w.pool = connection.NewPool(connection.Options{
		Resolver:   authconfig.NewResolver(w.cluster.Contents(), w.cluster.Metadata(), key, roots),
		Deployment: w.getDeployment,
		Settling:   func(key types.NamespacedName) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.settling[key] },
		Clock:      clk,
		Names:      inventory.Names{Cluster: "abcdefgh"},
		UserAgent:  "test",
		Observe:    func(types.NamespacedName, coder.Call) {},
		Retried:    func(types.NamespacedName) { w.retries.Add(1) },
		Servers:    &w.servers,
	})
	return w
}

func (w *poolEnv) getDeployment(_ context.Context, key types.NamespacedName) (*v1alpha1.CoderDeployment, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.deployments[key]
	if d == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "coderdeployments"}, key.Name)
	}
	return d.DeepCopy(), nil
}

func (w *poolEnv) createUser(name string, roles ...string) coderd.User {
	w.t.Helper()
	u, err := w.server.CreateUser(coderd.UserOptions{Username: name, Roles: roles})
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// createToken makes a token of the operator's and returns its value and id.
func (w *poolEnv) createToken() (value, id string) {
	w.t.Helper()
	value, key, err := w.server.CreateToken(coderd.TokenOptions{User: "operator"})
	if err != nil {
		w.t.Fatal(err)
	}
	return value, key.ID
}

// site is a deployment with its connection, and the Secret of the same name that holds its token.
type site struct {
	*poolEnv
	*connection.Connection
	key types.NamespacedName
}

// connectDeployment creates a deployment with a token of the operator's and connects it.
func (w *poolEnv) connectDeployment(name string, with ...func(*v1alpha1.CoderDeploymentSpec)) *site {
	w.t.Helper()
	value, _ := w.createToken()
	w.cluster.putSecret(name, map[string]string{"token": value})
	s := &site{poolEnv: w, key: types.NamespacedName{Namespace: "coder", Name: name}}
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
	s.mustResolve()
	return s
}

// editSpec changes the spec.
func (s *site) editSpec(change func(*v1alpha1.CoderDeploymentSpec)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deployments[s.key].DeepCopy()
	change(&d.Spec)
	d.Generation++
	s.deployments[s.key] = d
}

func (s *site) currentObject() *v1alpha1.CoderDeployment {
	s.t.Helper()
	d, err := s.getDeployment(s.t.Context(), s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *site) mustResolve() *connection.ResolvedClient {
	s.t.Helper()
	resolved, err := s.Resolve(s.t.Context(), s.currentObject())
	if err != nil {
		s.t.Fatalf("renew: %v", err)
	}
	return resolved
}

func (s *site) setSettling(settling bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settling[s.key] = settling
}

// rotateToken writes a new token into the Secret; the server no longer knows the old one.
func (s *site) rotateToken() (id string) {
	s.t.Helper()
	s.server.ClearFaults()
	for _, key := range s.server.Keys(coderd.KeyFilter{User: "operator"}) {
		if err := s.server.RevokeKey(key.ID); err != nil {
			s.t.Fatal(err)
		}
	}
	value, id := s.createToken()
	s.cluster.putSecret(s.key.Name, map[string]string{"token": value})
	return id
}

// askServer makes one request as the operator with priority Urgent.
func (s *site) askServer(ctx context.Context) error { return s.askAs(ctx, connection.Urgent) }

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
	if err := s.askServer(s.t.Context()); err != nil {
		s.t.Fatalf("the operator is refused: %v", err)
	}
}

// countRequests returns how many requests the server has received.
func (w *poolEnv) countRequests() int { return w.server.Count("", "") }

// eventually polls until holds returns true, or fails.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if err := wait.Until(t.Context(), longWait, time.Millisecond, wait.Holds(what, holds)); err != nil {
		t.Fatal(err)
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

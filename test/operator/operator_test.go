// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
)

// operator is a running instance of the real controllers.
type operator struct {
	calls *apiCalls
	// redirectURIs of OAuth, the first one for people.
	redirectURIs []string
	registry     *prometheus.Registry // of its metrics
	stop         func()               // returns when everything has ended
}

// startOperator starts an operator that watches the world's namespaces, with
// empty memory.
func (w *operatorEnv) startOperator(more ...string) {
	w.T.Helper()
	w.operator = w.runOperator(w.Cluster.Config, append(more, w.Namespace), nil)
}

// startShard starts an operator for the whole cluster that works on the objects
// with the world's own label only, and reads the labels of namespaces.
func (w *operatorEnv) startShard() {
	w.T.Helper()
	selector := labels.SelectorFromSet(w.shardLabels())
	w.operator = w.runOperator(w.Cluster.Config, nil, selector)
}

func (w *operatorEnv) shardLabels() map[string]string { return map[string]string{"shard": w.Namespace} }

func (w *operatorEnv) runOperator(as *rest.Config, namespaces []string, selector labels.Selector) *operator {
	w.T.Helper()
	calls := &apiCalls{counts: map[string]int{}}
	config := rest.CopyConfig(as)
	config.Wrap(calls.countCalls)
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:     w.Cluster.Scheme,
		Cache:      controllers.CacheOptions(namespaces, selector),
		Client:     client.Options{FieldOwner: controllers.FieldOwner},
		Metrics:    server.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: ptr.To(true)},
	})
	w.Must(err)
	key, err := fingerprint.NewKey([]byte("a key for tests that is 32 bytes"))
	w.Must(err)
	ctx, cancel := newBackground()
	callbacks, redirectURIs := w.newCallbackServer()
	registry := prometheus.NewRegistry()
	pool, err := controllers.Setup(ctx, mgr, controllers.Options{
		Key: key, Cluster: "testing1", Clock: w.clock, Jitter: func(time.Duration) time.Duration { return 0 },
		Metrics: metrics.New(registry), Roots: systemRoots, UserAgent: "test",
		RevocationTimeout: 3 * time.Second, OrphanGrace: time.Second, MaxConcurrent: 4, NamespaceLabels: len(namespaces) == 0, Namespaces: namespaces,
		RedirectURIs: redirectURIs, Random: rand.Reader, Instance: callbacks.Listener.Addr().String(),
	})
	w.Must(err)
	callbacks.Config.Handler = callback.New(callback.Options{
		Objects: mgr.GetClient(), Grants: grant.NewStore(mgr.GetAPIReader(), mgr.GetClient()), Pool: pool, Clock: clock.RealClock{},
	})
	callbacks.Start()
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	var once sync.Once
	o := &operator{calls: calls, redirectURIs: redirectURIs, registry: registry, stop: func() {
		once.Do(func() {
			cancel()
			callbacks.Close()
			if err := <-ended; err != nil {
				w.T.Errorf("the operator ended with: %v", err)
			}
		})
	}}
	w.T.Cleanup(o.stop)
	return o
}

// newCallbackServer is where an operator will take OAuth callbacks, with its redirect URIs.
func (w *operatorEnv) newCallbackServer() (*httptest.Server, []string) {
	w.T.Helper()
	s := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	w.Must(err)
	return s, grant.RedirectURIs("http://localhost:" + port + grant.CallbackPath)
}

// apiCalls counts an operator's requests to the API server by verb and resource.
// Watches and their lists do not count.
type apiCalls struct {
	mu     sync.Mutex
	counts map[string]int
}

var apiPath = regexp.MustCompile(`^/apis?/(?:[^/]+/)?v[0-9a-z]+/(?:namespaces/[^/]+/)?([a-z]+)(/[^/]+)?(/status)?$`)

func (c *apiCalls) countCalls(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		parts := apiPath.FindStringSubmatch(req.URL.Path)
		watches := req.Method == http.MethodGet && (len(parts) < 3 || parts[2] == "")
		if parts != nil && !watches {
			c.mu.Lock()
			c.counts[fmt.Sprintf("%s %s%s", req.Method, parts[1], parts[3])]++
			c.mu.Unlock()
		}
		return next.RoundTrip(req)
	})
}

// callsSince returns what was counted after before.
func (c *apiCalls) callsSince(before map[string]int) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	after := map[string]int{}
	for call, n := range c.counts {
		if more := n - before[call]; more > 0 {
			after[call] = more
		}
	}
	return after
}

func (c *apiCalls) allCalls() map[string]int { return c.callsSince(nil) }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

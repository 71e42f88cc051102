// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"fmt"
	"net/http"
	"regexp"
	"sync"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
)

// startOperator starts an operator that watches the test's namespaces, with empty memory.
func (w *operatorEnv) startOperator(more ...string) {
	w.T.Helper()
	w.runOperator(w.Cluster.Config, append(more, w.Namespace), nil)
}

// startShard starts an operator for the whole cluster that works on the objects with the test's
// own label only, and reads the labels of namespaces.
func (w *operatorEnv) startShard() {
	w.T.Helper()
	w.runOperator(w.Cluster.Config, nil, labels.SelectorFromSet(w.shardLabels()))
}

func (w *operatorEnv) shardLabels() map[string]string { return map[string]string{"shard": w.Namespace} }

// runOperator starts the operator of the test, in the place of one that has been stopped.
func (w *operatorEnv) runOperator(as *rest.Config, namespaces []string, selector labels.Selector) {
	w.T.Helper()
	calls := &apiCalls{counts: map[string]int{}}
	operator, err := inprocess.Start(inprocess.Options{
		Config: as, Scheme: w.Cluster.Scheme, Namespaces: namespaces, Selector: selector,
		WrapTransport: calls.countCalls, Clock: w.clock, RevocationTimeout: w.revocationTimeout,
		FingerprintKey: w.fingerprintKey, ServesPods: w.servesPods,
	})
	w.Must(err)
	w.operator, w.calls = operator, calls
	w.T.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			w.T.Error(err)
		}
	})
}

// stopOperator stops the operator and waits for its end, whose error the end of the test reports.
func (w *operatorEnv) stopOperator() { _ = w.operator.Stop() }

// apiCalls counts an operator's requests to the API server by verb and resource.
// Watches and their lists do not count.
type apiCalls struct {
	mu     sync.Mutex
	counts map[string]int
}

var apiPath = regexp.MustCompile(`^/apis?/(?:[^/]+/)?v[0-9a-z]+/(?:namespaces/[^/]+/)?([a-z]+)(/[^/]+)?(/status)?$`)

func (c *apiCalls) countCalls(next http.RoundTripper) http.RoundTripper {
	return inprocess.RoundTripper(func(req *http.Request) (*http.Response, error) {
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

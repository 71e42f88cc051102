// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
)

// cluster is the cluster id in the names of tokens.
const cluster = "crashes1"

// operator is one process's world: the real controllers with a memory, a log and a
// boundary of their own.
type operator struct {
	*boundary
	log  *logText
	stop func() // returns when everything has ended
}

// startOperator starts an operator with empty memory on the world's namespace.
func (w *crashEnv) startOperator() *operator {
	w.T.Helper()
	o := &operator{boundary: newBoundary(), log: &logText{}}
	w.operators = append(w.operators, o)
	agent := fmt.Sprintf("operator-%d", len(w.operators))
	w.gate.addBoundary(agent, o.boundary)
	config := rest.CopyConfig(w.Cluster.Config)
	config.Wrap(o.wrapTransport)
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:     w.Cluster.Scheme,
		Logger:     o.log.newLogger(),
		Cache:      controllers.CacheOptions([]string{w.Namespace}, nil),
		Client:     client.Options{FieldOwner: controllers.FieldOwner},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: ptr.To(true)},
	})
	w.Must(err)
	key, err := fingerprint.NewKey([]byte("a key for tests that is 32 bytes"))
	w.Must(err)
	ctx, cancel := context.WithCancel(context.Background())
	_, err = controllers.Setup(ctx, mgr, controllers.Options{
		Key: key, Cluster: cluster, Clock: w.clock, Jitter: func(time.Duration) time.Duration { return 0 },
		Metrics: metrics.New(prometheus.NewRegistry()), Roots: noRoots, UserAgent: agent,
		RevocationTimeout: time.Minute, OrphanGrace: w.orphanGrace, MaxConcurrent: 4,
		RedirectURIs: grant.RedirectURIs(""), Random: rand.Reader, Instance: agent,
	})
	w.Must(err)
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	var once, letGo sync.Once
	o.stop = func() {
		once.Do(func() {
			cancel()
			letGo.Do(o.letGo)
			if err := <-ended; err != nil && !o.isCut() {
				w.T.Errorf("the operator ended with: %v", err)
			}
			o.cutOff()
		})
	}
	w.T.Cleanup(o.stop)
	return o
}

// letGo lets a held call go on; more than once is once.
func (b *boundary) letGo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.release:
	default:
		close(b.release)
	}
}

// wrapTransport puts the boundary around an operator's transport to the API server. The
// whole answer is there before the call counts as made.
func (b *boundary) wrapTransport(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		c, counts := apiCall(req)
		if !counts {
			if b.isCut() {
				return nil, errCut
			}
			return next.RoundTrip(req)
		}
		var response *http.Response
		err := b.passCall(c, func() (err error) {
			if response, err = next.RoundTrip(req); err != nil {
				return err
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			response.Body = io.NopCloser(bytes.NewReader(body))
			return err
		})
		if err != nil {
			return nil, err
		}
		return response, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

var apiPath = regexp.MustCompile(`^/apis?/(?:[^/]+/)?v[0-9a-z]+/(?:namespaces/[^/]+/)?([a-z]+)(/[^/]+)?(/[a-z]+)?$`)

// apiCall is what a request to the API server looks like in every run; false for
// one that is not about a single object, or that writes an event.
func apiCall(req *http.Request) (call, bool) {
	parts := apiPath.FindStringSubmatch(req.URL.Path)
	if parts == nil {
		return call{}, false
	}
	if parts[1] == "events" || req.Method == http.MethodGet && parts[2] == "" {
		return call{}, false
	}
	return call{req.Method, parts[1] + parts[2] + parts[3]}, true
}

// inside is the way from gates to servers.
var inside = &http.Transport{DisableKeepAlives: true}

func newRequest(ctx context.Context, method, url string, body []byte) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
}

// logText is what an operator logs.
type logText struct {
	mu    sync.Mutex
	lines []string
}

func (l *logText) newLogger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, prefix+" "+args)
	}, funcr.Options{Verbosity: 1, MaxLogDepth: 4})
}

// findPanics are the lines that tell of a panic.
func (l *logText) findPanics() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.lines {
		if strings.Contains(strings.ToLower(line), "panic") {
			found = append(found, line)
		}
	}
	return found
}

// lastEntries is the last that was logged about objects.
func (l *logText) lastEntries() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var about []string
	for _, line := range l.lines {
		if strings.Contains(line, "reconcileID") {
			about = append(about, line)
		}
	}
	return strings.Join(about[max(0, len(about)-8):], "\n")
}

// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
)

// cluster is the cluster id in the names of tokens.
const cluster = "crashes1"

// operator is one process: the real controllers with a memory, a log and a boundary of
// their own.
type operator struct {
	*boundary
	log  *logText
	stop func() // returns when everything has ended
}

// startOperator starts an operator with empty memory on the test's namespace.
func (w *crashEnv) startOperator() *operator {
	w.T.Helper()
	o := &operator{boundary: newBoundary(), log: &logText{}}
	w.operators = append(w.operators, o)
	agent := fmt.Sprintf("operator-%d", len(w.operators))
	w.gate.addBoundary(agent, o.boundary)
	running, err := inprocess.Start(inprocess.Options{
		Config: w.Cluster.Config, Scheme: w.Cluster.Scheme, Namespaces: []string{w.Namespace},
		WrapTransport: o.wrapTransport, Logger: o.log.newLogger(), Clock: w.clock, Cluster: cluster,
		UserAgent: agent, Instance: agent, RevocationTimeout: time.Minute, OrphanGrace: w.orphanGrace,
		WithoutCallbacks: true, ServesPods: true,
	})
	w.Must(err)
	o.stop = sync.OnceFunc(func() {
		running.Cancel()
		o.letGo()
		if err := running.Stop(); err != nil && !o.isCut() {
			w.T.Error(err)
		}
		o.cutOff()
	})
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
	return inprocess.RoundTripper(func(req *http.Request) (*http.Response, error) {
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

// countLines is how many lines were logged so far.
func (l *logText) countLines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

var (
	loggedAction     = regexp.MustCompile(`"msg"="carrying out an action".* "action"="([A-Za-z]+)"`)
	loggedController = regexp.MustCompile(` "controller"="([a-z]+)"`)
)

// findActions are the actions that were carried out after so many lines, in order, each with its
// controller: "codersession Mint".
func (l *logText) findActions(after int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var actions []string
	for _, line := range l.lines[after:] {
		action, controller := loggedAction.FindStringSubmatch(line), loggedController.FindStringSubmatch(line)
		if action != nil && controller != nil {
			actions = append(actions, controller[1]+" "+action[1])
		}
	}
	return actions
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

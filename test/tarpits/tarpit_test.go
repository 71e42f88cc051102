// SPDX-License-Identifier: Apache-2.0

package tarpits_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// tarpit stands in front of a Coder server and does not answer requests for some paths.
type tarpit struct {
	*httptest.Server

	end chan struct{} // closed at the end of the test

	mu      sync.Mutex
	waiting int // requests that wait for an answer
}

// startTarpit starts a tarpit in front of a server that hangs at paths with this suffix.
func startTarpit(t testing.TB, server, suffix string) *tarpit {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	p := &tarpit{end: make(chan struct{})}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, suffix) {
			p.hang(r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		close(p.end)
		p.Close()
	})
	return p
}

func (p *tarpit) hang(r *http.Request) {
	p.count(1)
	select {
	case <-r.Context().Done():
		p.count(-1)
	case <-p.end:
	}
}

func (p *tarpit) count(more int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting += more
}

// countWaiting returns how many requests wait.
func (p *tarpit) countWaiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting
}

// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Request is the log entry of a request. It never contains a token, a header's value or a query's
// value.
type Request struct {
	// Time is the server's time of arrival; the order of the log is that of completion.
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	// Path is the path as sent. If it contains something that looks like a token, the secret is
	// removed.
	Path string `json:"path"`
	// Route is the pattern that matches, such as /api/v2/users/{user}, even when a fault or the edge
	// answered in its place; /api/ is an unknown API route, / the application.
	Route     string   `json:"route"`
	QueryKeys []string `json:"query_keys,omitempty"`
	// Headers are the canonical names, sorted.
	Headers  []string `json:"headers,omitempty"`
	UserID   string   `json:"user_id,omitempty"`
	Username string   `json:"username,omitempty"`
	KeyID    string   `json:"key_id,omitempty"`
	// Status is 0 when the connection was cut without an answer.
	Status int `json:"status"`
	// ClientCertCN and ClientCertSerial (decimal) are of the client certificate, if one was presented.
	ClientCertCN     string `json:"client_cert_cn,omitempty"`
	ClientCertSerial string `json:"client_cert_serial,omitempty"`
	RemoteAddr       string `json:"remote_addr"`
}

var tokenInPath = regexp.MustCompile(`([A-Za-z0-9]{10})-[A-Za-z0-9]{22}\b`)

func newLogEntry(now time.Time, r *http.Request) Request {
	entry := Request{
		Time: now, Method: r.Method, Path: tokenInPath.ReplaceAllString(r.URL.Path, "$1-(secret)"),
		QueryKeys: slices.Sorted(maps.Keys(r.URL.Query())), Headers: slices.Sorted(maps.Keys(r.Header)),
		RemoteAddr: r.RemoteAddr,
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		leaf := r.TLS.PeerCertificates[0]
		entry.ClientCertCN, entry.ClientCertSerial = leaf.Subject.CommonName, leaf.SerialNumber.String()
	}
	return entry
}

type countKey struct{ method, route string }

// requestLog is a ring buffer of the latest requests, with counters of all requests.
type requestLog struct {
	mu     sync.Mutex
	ring   []Request
	next   int
	filled bool
	counts map[countKey]int
}

func newRequestLog(size int) *requestLog {
	return &requestLog{ring: make([]Request, size), counts: map[countKey]int{}}
}

func (l *requestLog) addEntry(entry Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.next] = entry
	l.next++
	if l.next == len(l.ring) {
		l.next, l.filled = 0, true
	}
	// Clients can send any method. Unknown ones share a counter, so that the map stays small.
	method := entry.Method
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
		method = "other"
	}
	l.counts[countKey{method, entry.Route}]++
}

// Requests returns the latest requests that have been answered or cut off, oldest first, at most
// Options.RequestLogSize.
func (s *Server) Requests() []Request {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.filled {
		return slices.Clone(l.ring[:l.next])
	}
	return slices.Concat(l.ring[l.next:], l.ring[:l.next])
}

// Count returns how many requests of a method matched a route pattern since the start or ResetLog.
// An empty method or route counts all. Requests that a fault or the edge answered count under the
// route that they were meant for.
func (s *Server) Count(method, route string) int {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for key, n := range l.counts {
		if (method == "" || key.method == method) && (route == "" || key.route == route) {
			total += n
		}
	}
	return total
}

// ResetLog empties the log and sets all counters to zero.
func (s *Server) ResetLog() {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.ring)
	clear(l.counts)
	l.next, l.filled = 0, false
}

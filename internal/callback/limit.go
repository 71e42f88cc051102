// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
)

// bucketSize is a rate limit: how many callbacks are handled at once, and in a second on average.
type bucketSize struct {
	burst     int
	perSecond float64
}

// The rate limits of each process for callbacks whose state the operator has made: each of them reads
// from the API server. Other callbacks are refused before that and not counted. People consent one at a
// time, so this is ample; repeated callbacks of one session hold up no other one (B141).
var (
	// perVisitor is for the callbacks of one session from one address.
	perVisitor = bucketSize{burst: 10, perSecond: 1}
	// perNamespace is for the callbacks of all sessions of a namespace.
	perNamespace = bucketSize{burst: 100, perSecond: 20}
)

// maxBuckets is how many buckets are kept for visitors. Beyond that the visitors of a session share one.
const maxBuckets = 10_000

// bucketKey is what a limit is for: a session and an address, or a namespace.
type bucketKey struct {
	session types.NamespacedName
	source  string
}

// limits are the rate limits. The zero value is ready for use; it is safe for concurrent use.
type limits struct {
	mu      sync.Mutex
	buckets map[bucketKey]*bucket
	swept   time.Time // when full buckets were last dropped
}

type bucket struct {
	*rate.Limiter
	size bucketSize
}

// allow reports whether a callback for the session from the source may be handled now.
func (l *limits) allow(session types.NamespacedName, source string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buckets == nil {
		l.buckets = map[bucketKey]*bucket{}
	}
	visitor := bucketKey{session: session, source: source}
	if _, known := l.buckets[visitor]; !known && len(l.buckets) >= maxBuckets {
		if l.dropFull(now); len(l.buckets) >= maxBuckets {
			visitor.source = ""
		}
	}
	namespace := bucketKey{session: types.NamespacedName{Namespace: session.Namespace}}
	return l.bucket(visitor, perVisitor).AllowN(now, 1) && l.bucket(namespace, perNamespace).AllowN(now, 1)
}

func (l *limits) bucket(key bucketKey, size bucketSize) *bucket {
	b, known := l.buckets[key]
	if !known {
		b = &bucket{Limiter: rate.NewLimiter(rate.Limit(size.perSecond), size.burst), size: size}
		l.buckets[key] = b
	}
	return b
}

// dropFull drops the buckets that are as good as new, once a second at most.
func (l *limits) dropFull(now time.Time) {
	if now.Sub(l.swept) < time.Second {
		return
	}
	l.swept = now
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(b.size.burst) {
			delete(l.buckets, key)
		}
	}
}

// sourceOf is the address that a request came from, of IPv6 the network of 64 bits. Behind a proxy it is
// the proxy's: headers in which it names another one can be forged.
func sourceOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	address = address.Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	const network = 64
	prefix, err := address.Prefix(network)
	if err != nil {
		return host
	}
	return prefix.String()
}

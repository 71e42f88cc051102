// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// caller asks a bucket again and again at the times that it is told.
type caller struct {
	namespace string
	at        time.Duration
}

// serveCallers lets callers ask when they were told to, and each, once it is served, ask again at once.
// It returns how many tokens each namespace got until the end.
func serveCallers(b *bucket, callers []caller, end time.Duration) map[string]int {
	got := map[string]int{}
	for {
		first := 0
		for i, c := range callers {
			if c.at < callers[first].at {
				first = i
			}
		}
		c := &callers[first]
		if c.at > end {
			return got
		}
		now := c.at
		if !b.mustYield(now, c.namespace) {
			if _, ok := b.reserve(now, Urgent, now+earlyArrival); ok {
				b.serve(now, c.namespace)
				got[c.namespace]++
			}
		}
		c.at = b.nextPlace(now, Urgent, c.namespace)
	}
}

// B131: namespaces share the rate limit of a deployment, however many callers each has.
func TestNamespacesShareARateLimit(t *testing.T) {
	t.Parallel()
	const begin = time.Hour
	crowd := func(namespace string, count int) (callers []caller) {
		for range count {
			callers = append(callers, caller{namespace, begin})
		}
		return callers
	}
	for name, tc := range map[string]struct {
		callers []caller
		least   map[string]int // of 600 tokens
	}{
		"one alone":            {crowd("a", 100), map[string]int{"a": 570}},
		"a crowd and a single": {append(crowd("a", 200), crowd("b", 1)...), map[string]int{"a": 250, "b": 150}},
		"a crowd, and one later": {
			append(crowd("a", 200), caller{"b", begin + 20*time.Second}), map[string]int{"a": 250, "b": 150},
		},
		"the deployment itself": {append(crowd("a", 200), crowd("", 1)...), map[string]int{"a": 250, "": 100}},
		"three of different size": {
			append(append(crowd("a", 300), crowd("b", 30)...), crowd("c", 3)...),
			map[string]int{"a": 120, "b": 120, "c": 120},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := emptyBucket(t, begin)
			got := serveCallers(b, tc.callers, begin+10*time.Minute)
			for namespace, least := range tc.least {
				if got[namespace] < least {
					t.Errorf("tokens of each: %v, want at least %v", got, tc.least)
				}
			}
		})
	}
}

// Callers that do not come back cost others little, and are forgotten.
func TestANamespaceWhoseCallersAreGone(t *testing.T) {
	t.Parallel()
	const begin = time.Hour
	b := emptyBucket(t, begin)
	for range 300 {
		b.nextPlace(begin, Urgent, "gone")
	}
	got := serveCallers(b, []caller{{"a", begin}, {"a", begin}, {"a", begin}}, begin+5*time.Minute)
	if got["a"] < 240 {
		t.Errorf("%d of 300 tokens were used", got["a"])
	}
	if diff := cmp.Diff(1, len(b.lines)); diff != "" {
		t.Error(diff)
	}
}

// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"strconv"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// deletionRate is the rate limit while sessions are deleted, in requests a second: ten times the
// default, so that the benchmark takes a tenth of the time.
const deletionRate = 10 * 300 / 60

// BenchmarkDelete deletes all sessions of a deployment at once, and measures until the last one is
// gone, also as a multiple of what the rate limit needs for the calls without a burst.
func BenchmarkDelete(b *testing.B) {
	for _, n := range []int{200, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			f := newFigures(b)
			for b.Loop() {
				deleteSessions(b, f, n)
			}
			f.reportAll()
		})
	}
}

func deleteSessions(b *testing.B, f *figures, n int) {
	b.Helper()
	w := newEnv(b)
	defer w.closeAll()
	w.startOperator()
	w.createDeployment(v1alpha1.VerifyPolicy{Interval: never})
	w.mintSessions(n)
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Spec.RateLimit.RequestsPerMinute = 60 * deletionRate
	})
	w.awaitSettled()
	w.requireAccepted(n)

	w.Coder.ResetLog()
	calls, started := w.calls.countCalls(b), time.Now()
	w.Must(w.watcher.DeleteAllOf(b.Context(), &v1alpha1.CoderSession{}, client.InNamespace(w.Namespace)))
	waitFor(b, "all sessions are gone", 50*time.Millisecond, func() bool {
		var left v1alpha1.CoderSessionList
		w.Must(w.watcher.List(b.Context(), &left, client.InNamespace(w.Namespace), client.Limit(1)))
		return len(left.Items) == 0
	})
	took := time.Since(started)
	coderCalls := w.coderCalls()
	w.awaitSettled()
	calls = filterCalls(callsSince(calls, w.calls.countCalls(b)), notOfLease)
	w.requireAccepted(0)
	w.requireNothingAbandoned()

	each := float64(n)
	f.addSample("s-until-gone", took.Seconds())
	f.addSample("x-time-of-the-limit", took.Seconds()*deletionRate/float64(sumOf(coderCalls)))
	f.addSample("API-calls/session", float64(sumOf(calls))/each)
	f.addEach(calls, each, "session")
	f.addSample("Coder-calls/session", float64(sumOf(coderCalls))/each)
	f.addEach(coderCalls, each, "session")
}

// requireNothingAbandoned checks that the operator has given up no token.
func (w *scaleEnv) requireNothingAbandoned() {
	w.T.Helper()
	var events eventsv1.EventList
	w.Must(w.watcher.List(w.T.Context(), &events, client.InNamespace(w.Namespace)))
	for i := range events.Items {
		if e := &events.Items[i]; e.Reason == v1alpha1.EventRevocationAbandoned {
			w.T.Fatalf("%s: %s", e.Regarding.Name, e.Note)
		}
	}
}

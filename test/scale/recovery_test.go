// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

const (
	// recoveries is how many rounds there are at least; -benchtime 100x makes more.
	recoveries = 20
	// writesOfBurst is how many writes mend the settings, all but the last three
	// of them wrong.
	writesOfBurst = 60
	quietPeriod   = 500 * time.Millisecond // the default
)

// BenchmarkRecovery measures from the last write of a burst that mends a
// deployment's certificate, CA and header one by one until a session that they had
// suspended is ready.
func BenchmarkRecovery(b *testing.B) {
	w := newWorld(b)
	defer w.close()
	strangers, err := certs.NewAuthority("strangers", clock.RealClock{})
	w.must(err)
	w.startOperator()
	w.deploy(v1alpha1.VerifyPolicy{Interval: never})
	w.put(w.session("ci", v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}))
	w.follow("the session is ready", isReady)
	w.settle()

	f := newFigures(b)
	var times []float64
	verifications := 0
	for len(times) < max(b.N, recoveries) {
		w.suspend(strangers)
		times = append(times, w.recover(strangers).Seconds()*1000)
		verifications += w.coder.Count("GET", "/api/v2/buildinfo")
	}
	// Once more for the calls, some of which come after the session is ready.
	w.suspend(strangers)
	w.settle()
	before := w.calls.now(b)
	w.recover(strangers)
	w.settle()
	calls := since(before, w.calls.now(b))

	f.add("median-ms", quantile(times, 0.5))
	f.add("p95-ms", quantile(times, 0.95))
	f.add("median-ms-above-quietPeriod", quantile(times, 0.5)-float64(quietPeriod.Milliseconds()))
	f.add("p95-ms-above-quietPeriod", quantile(times, 0.95)-float64(quietPeriod.Milliseconds()))
	f.add("rounds", float64(len(times)))
	f.add("verifications/burst", float64(verifications)/float64(len(times)))
	f.addEach(where(calls, notOfLease), 1, "burst")
	f.report()
}

// suspend puts a certificate in force that the server refuses.
func (w *world) suspend(strangers *certs.Authority) {
	w.b.Helper()
	w.put(w.secret("mtls", w.pair(strangers)))
	w.follow("the session is suspended", isSuspended)
	w.coder.ResetLog()
}

// recover writes the burst and waits for the session.
func (w *world) recover(strangers *certs.Authority) time.Duration {
	w.b.Helper()
	right, other, wrong := w.pair(w.clients), w.pair(w.clients), w.pair(strangers)
	for i := range writesOfBurst - 3 {
		switch i % 5 {
		case 0: // a half of a pair
			w.put(w.secret("mtls", map[string]string{"tls.crt": right["tls.crt"], "tls.key": other["tls.key"]}))
		case 1:
			w.put(w.ca(strangers))
		case 2:
			w.put(w.secret("edge-headers", map[string]string{"id": "wrong"}))
		case 3: // no half at all
			w.put(w.secret("mtls", map[string]string{"tls.crt": right["tls.crt"], "tls.key": ""}))
		case 4:
			w.put(w.secret("mtls", wrong))
		}
	}
	w.put(w.ca(w.servers))
	w.put(w.secret("edge-headers", map[string]string{"id": "right"}))
	last := time.Now()
	w.put(w.secret("mtls", right))
	w.follow("the session has recovered", isReady)
	return time.Since(last)
}

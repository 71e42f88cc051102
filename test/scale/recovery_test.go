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
	// writesOfBurst is how many writes correct the settings, all but the last three
	// of them wrong.
	writesOfBurst = 60
	quietPeriod   = 500 * time.Millisecond // the default
)

// BenchmarkRecovery measures from the last write of a burst that corrects a
// deployment's certificate, CA and header one by one until a session that they had
// suspended is ready.
func BenchmarkRecovery(b *testing.B) {
	w := newEnv(b)
	defer w.closeAll()
	strangers, err := certs.NewAuthority("strangers", clock.RealClock{})
	w.Must(err)
	w.startOperator()
	w.createDeployment(v1alpha1.VerifyPolicy{Interval: never})
	w.putObject(w.NewSession("ci", v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}))
	w.followSessions("the session is ready", isReady)
	w.awaitSettled()

	f := newFigures(b)
	var times []float64
	verifications := 0
	for len(times) < max(b.N, recoveries) {
		w.suspendSession(strangers)
		times = append(times, w.recoverSession(strangers).Seconds()*1000)
		verifications += w.Coder.Count("GET", "/api/v2/buildinfo")
	}
	// Once more for the calls, some of which come after the session is ready.
	w.suspendSession(strangers)
	w.awaitSettled()
	before := w.calls.countCalls(b)
	w.recoverSession(strangers)
	w.awaitSettled()
	calls := callsSince(before, w.calls.countCalls(b))

	f.addSample("median-ms", quantile(times, 0.5))
	f.addSample("p95-ms", quantile(times, 0.95))
	f.addSample("median-ms-above-quietPeriod", quantile(times, 0.5)-float64(quietPeriod.Milliseconds()))
	f.addSample("p95-ms-above-quietPeriod", quantile(times, 0.95)-float64(quietPeriod.Milliseconds()))
	f.addSample("rounds", float64(len(times)))
	f.addSample("verifications/burst", float64(verifications)/float64(len(times)))
	f.addEach(filterCalls(calls, notOfLease), 1, "burst")
	f.reportAll()
}

// suspendSession puts a certificate in force that the server refuses.
func (w *scaleEnv) suspendSession(strangers *certs.Authority) {
	w.T.Helper()
	w.putObject(w.newSecret("mtls", w.issueClientPair(strangers)))
	w.followSessions("the session is suspended", isSuspended)
	w.Coder.ResetLog()
}

// recoverSession writes the burst and waits for the session.
func (w *scaleEnv) recoverSession(strangers *certs.Authority) time.Duration {
	w.T.Helper()
	right, other, wrong := w.issueClientPair(w.Clients), w.issueClientPair(w.Clients), w.issueClientPair(strangers)
	for i := range writesOfBurst - 3 {
		switch i % 5 {
		case 0: // a half of a pair
			w.putObject(w.newSecret("mtls", map[string]string{"tls.crt": right["tls.crt"], "tls.key": other["tls.key"]}))
		case 1:
			w.putObject(w.newCAConfigMap(strangers))
		case 2:
			w.putObject(w.newSecret("edge-headers", map[string]string{"id": "wrong"}))
		case 3: // no half at all
			w.putObject(w.newSecret("mtls", map[string]string{"tls.crt": right["tls.crt"], "tls.key": ""}))
		case 4:
			w.putObject(w.newSecret("mtls", wrong))
		}
	}
	w.putObject(w.newCAConfigMap(w.Servers))
	w.putObject(w.newSecret("edge-headers", map[string]string{"id": "right"}))
	last := time.Now()
	w.putObject(w.newSecret("mtls", right))
	w.followSessions("the session has recovered", isReady)
	return time.Since(last)
}

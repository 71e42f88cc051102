// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// outage is how long the server's edge answers 502 at least: until the operator asks as seldom as it ever
// does, once in 30 s. So a part of the recovery is the wait until it asks again.
const outage = 45 * time.Second

// measureOutage lets the edge answer 502 until all deployments say so, and then measures until all of them are
// verified. No session may stop being Active, nor be written (B162): its token is good.
func (w *scaleEnv) measureOutage(f *figures, n int) {
	w.T.Helper()
	var restore func()
	before := w.calls.countCalls(w.T)
	w.measureBusyStep(f, "outage", n, func() {
		ends := time.After(outage)
		restore = w.Coder.Inject(coderd.Fault{Kind: coderd.FaultHTML, Status: http.StatusBadGateway})
		w.requestVerifications()
		var down []wait.Check
		for i := range largeDeployments {
			down = append(down, w.DeploymentIs(largeDeployment(i), v1alpha1.ConditionReady, metav1.ConditionFalse,
				v1alpha1.ReasonUnreachable, ""))
		}
		w.Eventually(down...)
		<-ends
	})
	w.measureStep(f, "recovery", n, func() {
		restore()
		up := time.Now()
		var verified []wait.Check
		for i := range largeDeployments {
			verified = append(verified, w.IsVerified(largeDeployment(i)))
		}
		w.Eventually(verified...)
		f.addSample("recovery-s-until-all-are-verified", w.lastSuccess("/api/v2/buildinfo").Sub(up).Seconds())
	})
	w.requireUnwritten(callsSince(before, w.calls.countCalls(w.T)))
	w.requireLargeSound(n)
}

// requestVerifications asks for a verification of all deployments, as kubectl coder verify does.
func (w *scaleEnv) requestVerifications() {
	w.T.Helper()
	at := time.Now().UTC().Format(time.RFC3339Nano)
	for i := range largeDeployments {
		w.EditDeployment(largeDeployment(i), func(d *v1alpha1.CoderDeployment) {
			metav1.SetMetaDataAnnotation(&d.ObjectMeta, v1alpha1.AnnotationVerifyRequestedAt, at)
		})
	}
}

// lastSuccess is when the Coder server last answered a request for a route with 200.
func (w *scaleEnv) lastSuccess(route string) (last time.Time) {
	for _, request := range w.Coder.Requests() {
		if request.Route == route && request.Status == http.StatusOK {
			last = request.Time
		}
	}
	return last
}

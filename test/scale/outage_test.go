// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// outage is how long the server's edge answers 502 at least: until the operator asks as seldom as it ever
// does, once in 30 s. So a part of the recovery is the wait until it asks again.
const outage = 45 * time.Second

// measureOutage lets the edge answer 502 until all deployments and sessions say so, and then measures until
// they are as they were. No session may stop being Active: its token is good.
func (w *scaleEnv) measureOutage(f *figures, n int) {
	w.T.Helper()
	var restore func()
	w.measureBusyStep(f, "outage", n, func() {
		ends := time.After(outage)
		restore = w.Coder.Inject(coderd.Fault{Kind: coderd.FaultHTML, Status: http.StatusBadGateway})
		w.requestVerifications()
		w.followLarge(n, "not verifiable", func(s *v1alpha1.CoderSession) bool {
			w.requireActive(s)
			return isUnverifiable(s)
		})
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
		recovered := w.followLarge(n, "recovered", func(s *v1alpha1.CoderSession) bool {
			w.requireActive(s)
			return !isUnverifiable(s)
		})
		f.addQuantiles("recovery", sinceEach(recovered, func(string) time.Time { return up }))
		asked := w.lastSuccess("/api/v2/buildinfo")
		f.addSample("recovery-s-until-all-are-verified", asked.Sub(up).Seconds())
		f.addSample("recovery-s-after-that", time.Since(asked).Seconds())
	})
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

func (w *scaleEnv) requireActive(s *v1alpha1.CoderSession) {
	w.T.Helper()
	if !isReady(s) {
		w.T.Fatalf("session %s is not Active although its token is good: %+v", s.Name, s.Status.Conditions)
	}
}

// isUnverifiable reports whether a session says that the server cannot be asked.
func isUnverifiable(s *v1alpha1.CoderSession) bool {
	c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionAuthenticated)
	return c != nil && c.Status == metav1.ConditionUnknown
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

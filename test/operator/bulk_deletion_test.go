// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// Many sessions that are deleted at once go within their rate limit, although it leaves each of them without room at
// first, and none of their tokens is abandoned.
func TestManySessionsAreDeletedAtTheRateLimit(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.revocationTimeout = time.Hour
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	const sessions = 150
	for i := range sessions {
		w.Create(w.NewMintedSession(fmt.Sprintf("ci-%03d", i), "ci-bot"))
	}
	w.Eventually(w.hasLiveTokens(sessions), w.countsSessions(sessions, 0))

	// Twice the default, so that the test takes half of the time. With more, all workers together
	// would wait so briefly that no session had to be told to come back.
	const perSecond = 2 * 300 / 60
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.RateLimit.RequestsPerMinute = 60 * perSecond })
	w.Eventually(w.IsVerified("prod"), w.isObserved("prod"))
	w.Coder.ResetLog()
	before, start := w.calls.allCalls(), time.Now()
	w.Must(w.Client.DeleteAllOf(t.Context(), &v1alpha1.CoderSession{}, client.InNamespace(w.Namespace)))
	w.Eventually(w.hasLiveTokens(0), func(ctx context.Context) error {
		var left v1alpha1.CoderSessionList
		if err := w.Client.List(ctx, &left, client.InNamespace(w.Namespace)); err != nil {
			return err
		}
		if len(left.Items) > 0 {
			return fmt.Errorf("%d sessions are left, one of them: %+v", len(left.Items), left.Items[0].Status.Conditions)
		}
		return nil
	})
	calls := w.Coder.Count("", "")
	// One to look for a lost token, one to revoke the session's own, and a few verifications.
	if limit := 2*sessions + sessions/10; calls > limit {
		t.Errorf("%d calls for %d sessions, want at most %d", calls, sessions, limit)
	}
	// B161: the counters of the deployment, once in five seconds, and what the verifications change.
	writes, seconds := w.calls.callsSince(before)["PATCH coderdeployments/status"], int(time.Since(start)/time.Second)
	if writes > seconds/5+2 {
		t.Errorf("the deployment's status was written %d times in %d s", writes, seconds)
	}
	if w.hasEvent(corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, "")(t.Context()) == nil {
		t.Error("a token was abandoned")
	}
	if left := w.Coder.Keys(coderd.KeyFilter{NamePrefix: "cso-", Live: true}); len(left) > 0 {
		t.Errorf("%d tokens are left", len(left))
	}
}

// isObserved: the operator has seen a deployment's present spec.
func (w *operatorEnv) isObserved(name string) wait.Check {
	return func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, name)
		if err == nil && d.Status.ObservedGeneration != d.Generation {
			err = fmt.Errorf("generation %d is not observed, but %d", d.Generation, d.Status.ObservedGeneration)
		}
		return err
	}
}

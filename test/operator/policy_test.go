// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/shifted"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// B111: a policy that refuses the Secret of a rotation costs no working credential. The session is
// ready for as long as that lives, and not a moment longer than an interval.
func TestAPolicyThatRefusesARotation(t *testing.T) {
	c := &shifted.Clock{}
	w := newEnv(t, withMTLS, withClock(c))
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s")), w.NewMintedSession("ci", "ci-bot", withLifetime("1h")))
	w.Eventually(w.IsReady("ci"))
	published := w.CurrentSecret("ci")
	old := string(published.Data["session"])
	remove := w.addPolicy(policy{resource: "secrets", reason: metav1.StatusReasonForbidden,
		trial: func(ctx context.Context) error { return w.Client.Update(ctx, published.DeepCopy(), client.DryRunAll) }})

	c.Shift(45 * time.Minute) // less than a third is left
	refused := w.SessionIs("ci", v1alpha1.ConditionSecretSynced, "False", v1alpha1.ReasonAPIServerRefused, policyMessage)
	ready := w.SessionIs("ci", v1alpha1.ConditionReady, "True", v1alpha1.ReasonActive, "")
	before := w.calls.allCalls()
	w.Eventually(refused, ready)
	w.Eventually(w.hasCalled("PUT secrets", before, 3), func(ctx context.Context) error {
		if err := wait.All(refused, ready, w.isAccepted(old))(ctx); err != nil {
			t.Fatal(err)
		}
		return nil
	})
	w.Eventually(w.hasLiveTokens(1))

	c.Shift(15 * time.Minute)
	if w.Coder.AcceptsToken(old) {
		t.Fatal("the token has not ended yet")
	}
	w.within(3*time.Second, w.IsNotReady("ci", v1alpha1.ReasonAPIServerRefused, policyMessage))
	if got := w.CurrentSecret("ci").ResourceVersion; got != published.ResourceVersion {
		t.Error("the Secret was written")
	}
	w.Eventually(w.hasWarnings(1))
	remove()
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1), w.hasWarnings(1))
	if got := w.CountMints(); got > 3 {
		t.Errorf("%d tokens were minted", got)
	}
}

func withLifetime(lifetime v1alpha1.Duration) func(*v1alpha1.CoderSessionSpec) {
	return func(spec *v1alpha1.CoderSessionSpec) { spec.Auth.Mint.Lifetime = lifetime }
}

// B111: a policy that refuses the status. There is no place left to say it but one event; the
// operator does its work, and tries again with backoff.
func TestAPolicyThatRefusesTheStatus(t *testing.T) {
	for name, reason := range map[string]metav1.StatusReason{"forbidden": metav1.StatusReasonForbidden, "invalid": ""} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			w.startOperator()
			w.Create(w.newDeployment("prod", withInterval("2s")))
			w.Eventually(w.IsVerified("prod"))
			paused := w.NewMintedSession("paused", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) { spec.Paused = true })
			w.Create(paused)
			w.Eventually(w.IsNotReady("paused", v1alpha1.ReasonPaused, ""))
			remove := w.addPolicy(policy{group: v1alpha1.GroupVersion.Group, resource: "codersessions/status", reason: reason,
				trial: w.tryStatus("paused")})

			before := w.calls.allCalls()
			w.Create(w.NewMintedSession("ci", "ci-bot"))
			w.Eventually(w.hasLiveTokens(1), w.hasWarnings(1), w.hasCalled("PATCH codersessions/status", before, 1))
			w.Throughout(5*time.Second, w.hasWarnings(1))
			// At 0, 1, 3, 5 and 7 s, and the conditions alone where the whole of it is invalid.
			const tries = 2 * 5
			if got := w.calls.callsSince(before)["PATCH codersessions/status"]; got > tries {
				t.Errorf("the status was written %d times, want at most %d", got, tries)
			}
			if got := w.CountMints(); got != 1 {
				t.Errorf("%d tokens were minted", got)
			}
			remove()
			w.within(5*time.Second, w.IsReady("ci"), w.hasLiveTokens(1))
		})
	}
}

// tryStatus is a dry run of an update of a session's status.
func (w *operatorEnv) tryStatus(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
		if err != nil {
			return err
		}
		s.Status.LastHandledRenewAt = fmt.Sprint(time.Now().Unix())
		return w.Client.Status().Update(ctx, s, client.DryRunAll)
	}
}

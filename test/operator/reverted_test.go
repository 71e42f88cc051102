// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// otherManager is the field manager of a controller that keeps the Secret of the operator's token.
const otherManager = "external-secrets"

// writeDueToken writes a token for the operator that is due for renewal, and returns its value.
func (w *operatorEnv) writeDueToken() string {
	w.T.Helper()
	value, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: testenv.OperatorUser, Lifetime: time.Hour})
	w.Must(err)
	w.sentinels = append(w.sentinels, value)
	w.WriteSecret(testenv.TokenSecret, map[string]string{"token": value})
	return value
}

// putBack writes a token into the operator's Secret as another controller does: it keeps the
// operator's annotations, or removes them.
func (w *operatorEnv) putBack(ctx context.Context, value string, keepAnnotations bool) error {
	secret, err := w.GetSecret(ctx, testenv.TokenSecret)
	if err != nil || string(secret.Data["token"]) == value {
		return err
	}
	secret.Data["token"] = []byte(value)
	if !keepAnnotations {
		secret.Annotations = nil
	}
	return w.Client.Update(ctx, secret, client.FieldOwner(otherManager))
}

// keepPuttingBack puts a token back as soon as another one is written, until it is stopped.
func (w *operatorEnv) keepPuttingBack(value string, keepAnnotations bool) (stop func()) {
	ctx, cancel := context.WithCancel(w.T.Context())
	var done sync.WaitGroup
	done.Go(func() {
		_ = wait.Throughout(ctx, time.Hour, 20*time.Millisecond, func(ctx context.Context) error {
			_ = w.putBack(ctx, value, keepAnnotations) // a conflict is tried again
			return nil
		})
	})
	stop = func() { cancel(); done.Wait() }
	w.T.Cleanup(stop)
	return stop
}

// isReverted: the operator says who puts the former token back, and mints no more than it has.
func (w *operatorEnv) isReverted(mints int) wait.Check {
	says := w.DeploymentIs("prod", v1alpha1.ConditionTokenRenewed, "False", v1alpha1.ReasonTokenReverted, otherManager)
	return func(ctx context.Context) error {
		if got := w.CountMints(); got != mints {
			return fmt.Errorf("%d tokens were minted, want %d", got, mints)
		}
		return says(ctx)
	}
}

// B114: a former token that another writer puts back, at once or later, with the operator's
// annotations or without, is recognised, also by an operator without memory. Nothing is minted and it
// is not revoked. Another token in the Secret ends it.
func TestAFormerTokenThatIsPutBack(t *testing.T) {
	for name, tc := range map[string]struct{ atOnce, keepAnnotations bool }{
		"at once":                      {true, true},
		"at once, without annotations": {true, false},
		"later":                        {false, true},
		"later, without annotations":   {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			former := w.writeDueToken()
			w.startOperator()
			stop := func() {}
			if tc.atOnce {
				stop = w.keepPuttingBack(former, tc.keepAnnotations)
			}
			w.Create(w.newDeployment("prod", withInterval("1s"), withRenewal("144h", "2h")))
			if !tc.atOnce {
				w.Eventually(w.hasRenewed(former), w.IsVerified("prod"),
					w.DeploymentIs("prod", v1alpha1.ConditionTokenRenewed, "True", v1alpha1.ReasonRenewed, ""))
				w.Eventually(func(ctx context.Context) error { return w.putBack(ctx, former, tc.keepAnnotations) })
			}
			w.Eventually(w.isReverted(1), w.IsVerified("prod"), w.hasWarnings(1))
			w.Throughout(2500*time.Millisecond, w.isReverted(1), w.hasLiveTokens(1))
			w.stopOperator()
			w.startOperator()
			w.Throughout(2500*time.Millisecond, w.isReverted(1), w.hasLiveTokens(1))
			if !w.Coder.AcceptsToken(former) {
				t.Error("the former token was revoked")
			}
			stop()
			w.writeDueToken()
			w.Eventually(w.hasLiveTokens(1), w.IsVerified("prod"),
				w.DeploymentIs("prod", v1alpha1.ConditionTokenRenewed, "True", v1alpha1.ReasonRenewed, ""))
		})
	}
}

// hasRenewed: the Secret of the operator's token holds another one than before, which is valid.
func (w *operatorEnv) hasRenewed(former string) wait.Check {
	return func(ctx context.Context) error {
		secret, err := w.GetSecret(ctx, testenv.TokenSecret)
		if err != nil {
			return err
		}
		if value := string(secret.Data["token"]); value == former || !w.Coder.AcceptsToken(value) {
			return errors.New("the token is not renewed yet")
		}
		return nil
	}
}

// B114: a former token that is put back after it was revoked is no riddle: the message says who did
// it.
func TestADeadTokenThatIsPutBack(t *testing.T) {
	w := newEnv(t, withMTLS)
	former := w.writeDueToken()
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s"), withRenewal("144h", "2h")))
	w.Eventually(w.hasRenewed(former), w.IsVerified("prod"))
	w.Must(w.Coder.RevokeKey(former[:10])) // a person has made it, so the operator does not (B142)
	w.Eventually(func(ctx context.Context) error { return w.putBack(ctx, former, true) })
	ready := func(fragment string) wait.Check {
		return w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnauthorized, fragment)
	}
	w.Eventually(ready(`"`+otherManager+`" has put a former token back`), w.isReverted(1))
	w.stopOperator()
	w.startOperator()
	w.Eventually(ready(`"` + otherManager + `" has put a former token back`))
	if got := w.CountMints(); got != 1 {
		t.Errorf("%d tokens were minted", got)
	}
}

// B110, B114: what stands in the way of a renewal is said before the first one is tried, and nothing is
// minted for it.
func TestARenewalThatCannotBeStored(t *testing.T) {
	owner := metav1.OwnerReference{
		APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: "coder-token",
		UID: "00000000-0000-4000-8000-000000000000", Controller: ptr.To(true),
	}
	for name, tc := range map[string]struct {
		change   func(*corev1.Secret)
		reason   string
		fragment string
	}{
		"the Secret of another controller": {
			func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{owner} },
			v1alpha1.ReasonSecretManaged, `ExternalSecret "coder-token"`,
		},
		"an immutable Secret": {
			func(s *corev1.Secret) { s.Immutable = ptr.To(true) }, v1alpha1.ReasonSecretImmutable, "create it again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			w.writeDueToken()
			secret := w.CurrentSecret(testenv.TokenSecret)
			tc.change(secret)
			w.Must(w.Client.Update(t.Context(), secret))
			w.startOperator()
			w.Create(w.newDeployment("prod", withInterval("500ms"), withRenewal("144h", "2h")))
			says := w.DeploymentIs("prod", v1alpha1.ConditionTokenRenewed, "False", tc.reason, tc.fragment)
			w.Eventually(says, w.IsVerified("prod"), w.hasWarnings(1))
			w.Throughout(1500*time.Millisecond, says, w.hasLiveTokens(0))
			if got := w.CountMints(); got != 0 {
				t.Errorf("%d tokens were minted", got)
			}
			w.Delete(secret)
			w.writeDueToken()
			w.Eventually(w.hasLiveTokens(1),
				w.DeploymentIs("prod", v1alpha1.ConditionTokenRenewed, "True", v1alpha1.ReasonRenewed, ""))
		})
	}
}

// B110, B111: as long as a policy refuses to have the Secret of the operator's token changed, no token
// is minted for it, and the API server's words are said.
func TestARenewalThatAPolicyRefuses(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.writeDueToken()
	remove := w.addPolicy(policy{resource: "secrets", trial: func(ctx context.Context) error {
		secret, err := w.GetSecret(ctx, testenv.TokenSecret)
		if err != nil {
			return err
		}
		return w.Client.Update(ctx, secret, client.DryRunAll)
	}})
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s"), withRenewal("144h", "2h")))
	w.Eventually(w.IsVerified("prod"),
		w.DeploymentIs("prod", v1alpha1.ConditionTokenRenewed, "False", v1alpha1.ReasonAPIServerRefused, policyMessage))
	if got := w.CountMints(); got != 0 {
		t.Errorf("%d tokens were minted", got)
	}
	remove()
	w.Eventually(w.hasLiveTokens(1),
		w.DeploymentIs("prod", v1alpha1.ConditionTokenRenewed, "True", v1alpha1.ReasonRenewed, ""))
}

// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// withRenewal keeps the operator's token alive.
func withRenewal(lifetime, before v1alpha1.Duration) func(*v1alpha1.CoderDeploymentSpec) {
	return func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Token.Renew = &v1alpha1.TokenRenewal{Lifetime: lifetime, Before: before}
	}
}

// B50: the operator's own token is renewed into its Secret before it ends; its
// sessions notice nothing.
func TestTheOperatorsTokenRenewsItself(t *testing.T) {
	for _, generation := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileNew} {
		t.Run(string(generation), func(t *testing.T) {
			w := newEnv(t, withMTLS, withProfile(generation))
			value, key, err := w.Coder.CreateToken(coderd.TokenOptions{User: "operator", Lifetime: time.Hour})
			w.Must(err)
			w.sentinels = append(w.sentinels, value)
			w.WriteSecret("token", map[string]string{"token": value, "note": "mine"})
			w.startOperator()
			w.Create(w.newDeployment("prod", withRenewal("144h", "2h")), w.NewMintedSession("ci", "ci-bot"))
			// An hour is less than two before its end, and so is a third of it from its
			// middle on; this one was made with 40 minutes gone.
			w.Coder.SetClockOffset(45 * time.Minute)
			w.Eventually(w.IsVerified("prod"), func(ctx context.Context) error {
				secret, err := w.GetSecret(ctx, "token")
				if err != nil {
					return err
				}
				if string(secret.Data["token"]) == value {
					return fmt.Errorf("not renewed yet")
				}
				if !w.Coder.AcceptsToken(string(secret.Data["token"])) || string(secret.Data["note"]) != "mine" {
					return fmt.Errorf("the Secret holds no good token, or lost another key")
				}
				if secret.Annotations[v1alpha1.AnnotationPredecessor] != key.ID {
					return fmt.Errorf("the predecessor is not noted")
				}
				return nil
			}, w.IsReady("ci"), w.DeploymentIs("prod", v1alpha1.ConditionTokenRenewed, "True", v1alpha1.ReasonRenewed, ""))
			if !w.Coder.AcceptsToken(value) {
				t.Error("the old token was revoked at once")
			}
			d, err := w.GetDeployment(t.Context(), "prod")
			w.Must(err)
			if left := d.Status.TokenExpirationTime.Sub(w.Coder.Now()); left < 143*time.Hour {
				t.Errorf("the new token lives %s", left)
			}

			// Once the overlap is over the old one goes.
			secret := w.CurrentSecret("token")
			w.Write(secret, func() {
				secret.Annotations[v1alpha1.AnnotationRevokeAfter] = time.Now().UTC().Add(-time.Second).Format(time.RFC3339)
			})
			w.Eventually(func(ctx context.Context) error {
				secret, err := w.GetSecret(ctx, "token")
				if err != nil {
					return err
				}
				if w.Coder.AcceptsToken(value) || secret.Annotations[v1alpha1.AnnotationPredecessor] != "" {
					return fmt.Errorf("the old token is not revoked yet")
				}
				return nil
			}, w.IsVerified("prod"), w.IsReady("ci"))
			w.searchForSentinels()
		})
	}
}

// B50: a server that limits owners to 7 days does not make renewal run without
// end.
func TestALimitForOwnersLocksNoOwnerOut(t *testing.T) {
	w := newEnv(t, withMTLS)
	value, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: "operator", Lifetime: 10 * time.Minute})
	w.Must(err)
	w.WriteSecret("token", map[string]string{"token": value})
	w.Coder.SetClockOffset(7 * time.Minute)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s"), withRenewal("1000h", "999h")))
	w.Eventually(w.IsVerified("prod"), func(ctx context.Context) error {
		if w.CountMints() == 0 {
			return fmt.Errorf("not renewed yet")
		}
		return nil
	})
	w.Throughout(3*time.Second, func(context.Context) error {
		if got := w.CountMints(); got > 1 {
			return fmt.Errorf("%d renewals", got)
		}
		return nil
	})
}

// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
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

			// Once the overlap is over its record goes. A person has made it, so it is not revoked (B142).
			w.endOverlap()
			w.Eventually(w.hasNoPredecessor, w.IsVerified("prod"), w.IsReady("ci"),
				w.hasEvent(corev1.EventTypeWarning, v1alpha1.EventRevocationRefused, key.ID))
			if !w.Coder.AcceptsToken(value) {
				t.Error("a token that the operator did not mint was revoked")
			}
			w.searchForSentinels()
		})
	}
}

// endOverlap makes the revocation of the operator's former token due.
func (w *operatorEnv) endOverlap() {
	w.T.Helper()
	secret := w.CurrentSecret("token")
	w.Write(secret, func() {
		secret.Annotations[v1alpha1.AnnotationRevokeAfter] = time.Now().UTC().Add(-time.Second).Format(time.RFC3339)
	})
}

// B142: who may annotate the Secret of the operator's own token has no token revoked by that,
// neither another user's nor one of the operator's user that the operator did not mint.
func TestAForgedPredecessorIsNotRevoked(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s"), withRenewal("144h", "2h")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"))
	for _, user := range []string{"ada", testenv.OperatorUser} {
		victim, key, err := w.Coder.CreateToken(coderd.TokenOptions{User: user, Lifetime: 200 * time.Hour})
		w.Must(err)
		w.sentinels = append(w.sentinels, victim)
		w.forgePredecessor(key.ID)
		w.Eventually(w.hasNoPredecessor, w.IsVerified("prod"),
			w.hasEvent(corev1.EventTypeWarning, v1alpha1.EventRevocationRefused, "was not revoked"))
		if !w.Coder.AcceptsToken(victim) {
			t.Errorf("a token of %s was revoked", user)
		}
	}
	published := string(w.CurrentSecret("ci").Data["session"])
	w.forgePredecessor(idOfToken(published))
	w.Eventually(w.hasNoPredecessor, w.IsReady("ci"))
	if !w.Coder.AcceptsToken(published) {
		t.Error("a session's published token was revoked")
	}
}

// hasNoPredecessor: the Secret of the operator's own token records no former one.
func (w *operatorEnv) hasNoPredecessor(ctx context.Context) error {
	secret, err := w.GetSecret(ctx, "token")
	if err != nil {
		return err
	}
	if id := secret.Annotations[v1alpha1.AnnotationPredecessor]; id != "" {
		return fmt.Errorf("token %s is still recorded", id)
	}
	return nil
}

// forgePredecessor records a token as the predecessor of the operator's own, as others can.
func (w *operatorEnv) forgePredecessor(id string) {
	w.T.Helper()
	secret := w.CurrentSecret("token")
	w.Write(secret, func() {
		secret.Annotations = map[string]string{
			v1alpha1.AnnotationPredecessor: id,
			v1alpha1.AnnotationRevokeAfter: time.Now().UTC().Add(-time.Second).Format(time.RFC3339),
		}
	})
}

// idOfToken returns the public half of a token.
func idOfToken(token string) string {
	id, _, _ := strings.Cut(token, "-")
	return id
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

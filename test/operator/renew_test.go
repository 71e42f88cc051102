// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// mintedSince counts the posts of tokens.
func (w *operatorEnv) mintedSince(before, want int) wait.Check {
	return func(context.Context) error {
		if got := w.CountMints() - before; got != want {
			return fmt.Errorf("%d tokens were minted, want %d", got, want)
		}
		return nil
	}
}

// A renewal on request is a new token now, with the usual overlap, once for each request,
// also over a restart (B40, B43, B54).
func TestAMintedSessionIsRenewedOnRequest(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")),
		w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			overlap := v1alpha1.Duration("4s")
			spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
		}))
	w.Eventually(w.IsReady("ci"))
	old, before := string(w.CurrentSecret("ci").Data["session"]), w.CountMints()
	w.asksForRenewal("ci", first)
	w.Eventually(w.hasSerial("ci", 2), w.IsReady("ci"), w.isRenewalHandled("ci", first))
	if !w.Coder.AcceptsToken(old) {
		t.Error("the old token went without an overlap")
	}
	w.Eventually(w.hasLiveTokens(1), w.mintedSince(before, 1))

	w.stopOperator()
	w.startOperator()
	w.listedAgain()
	w.Throughout(time.Second, w.mintedSince(before, 1), w.IsReady("ci"))
	w.asksForRenewal("ci", second)
	w.Eventually(w.isRenewalHandled("ci", second), w.hasSerial("ci", 3), w.mintedSince(before, 2))

	// A request that is taken back is none.
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Annotations = nil })
	w.Throughout(time.Second, w.mintedSince(before, 2), w.isRenewalHandled("ci", second))
}

// A request that cannot be served now stays, and is when it can: here for a user who may
// not use the deployment, and by a session that is paused.
func TestARequestIsServedWhenItCanBe(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"),
		w.NewMintedSession("held", "ada"))
	w.Eventually(w.IsReady("ci"), w.IsReady("held"))
	w.Must(w.Coder.Suspend("ci-bot"))
	w.EditSession("held", func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonSuspended, "suspended"),
		w.IsNotReady("held", v1alpha1.ReasonPaused, ""))
	before := w.CountMints()
	w.asksForRenewal("ci", first)
	w.asksForRenewal("held", first)
	w.Throughout(2*time.Second, w.mintedSince(before, 0), w.isRenewalHandled("ci", ""), w.isRenewalHandled("held", ""))
	w.Must(w.Coder.Activate("ci-bot"))
	w.EditSession("held", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	w.Eventually(w.IsReady("ci"), w.IsReady("held"), w.isRenewalHandled("ci", first), w.isRenewalHandled("held", first),
		w.mintedSince(before, 2))
}

// On request a grant is refreshed, and the server asked about credentials of others.
func TestOtherSessionsAreRenewedOnRequest(t *testing.T) {
	w := newEnv(t, withMTLS, certificateIdentifies, withOAuthProvider)
	w.WriteSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.newOAuthSession("person"), w.NewSuppliedSession("own", "mine"),
		w.NewCertificateSession("edge"))
	w.Eventually(w.asksForConsent("person", v1alpha1.ReasonAwaitingAuthorization))
	w.giveConsent("person", "ada")
	w.Eventually(w.IsReady("person"), w.IsReady("own"), w.IsReady("edge"))
	old := string(w.CurrentSecret("person").Data["session"])
	me := func() int { return w.Coder.Count("GET", "/api/v2/users/{user}") }
	for _, name := range []string{"person", "own", "edge"} {
		before := me()
		w.asksForRenewal(name, first)
		w.Eventually(w.isRenewalHandled(name, first), w.IsReady(name), func(context.Context) error {
			if me() == before {
				return fmt.Errorf("session %s: the server was not asked", name)
			}
			return nil
		})
	}
	now := string(w.CurrentSecret("person").Data["session"])
	if now == old || w.Coder.AcceptsToken(old) {
		t.Error("the grant was not refreshed")
	}
	// Asked once, it is done once.
	w.Throughout(time.Second, func(context.Context) error {
		if got := string(w.CurrentSecret("person").Data["session"]); got != now {
			return fmt.Errorf("the grant is refreshed again")
		}
		return nil
	})
}

// asksForVerification does what kubectl coder verify does.
func (w *operatorEnv) asksForVerification(when string) {
	w.T.Helper()
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Annotations = map[string]string{v1alpha1.AnnotationVerifyRequestedAt: when}
	})
}

// verifiedOn: the request for a verification is answered.
func (w *operatorEnv) verifiedOn(request string) wait.Check {
	return func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, "prod")
		if err == nil && d.Status.LastHandledVerifyAt != request {
			return fmt.Errorf("answered is %q, want %q", d.Status.LastHandledVerifyAt, request)
		}
		return err
	}
}

// A deployment is verified on request, whatever its interval, once; a bad answer is one,
// and so is that there is nothing to ask with.
func TestADeploymentIsVerifiedOnRequest(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot")) // an hour's interval
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"), w.hasSessionCount(1))
	before, lists := w.countVerifications(), w.Coder.Count("GET", "/api/v2/users")
	w.Must(w.Coder.RevokeKey(w.CurrentSession("ci").Status.Token.ID))
	w.asksForVerification(first)
	w.Eventually(w.verifiedOn(first), w.hasSerial("ci", 2), w.IsReady("ci")) // B44: the list came with it
	if got := w.countVerifications() - before; got != 1 || w.Coder.Count("GET", "/api/v2/users") == lists {
		t.Errorf("%d verifications for one request", got)
	}

	w.Must(w.Coder.RevokeKey(string(w.CurrentSecret("token").Data["token"])[:10]))
	w.asksForVerification(second)
	w.Eventually(w.verifiedOn(second), w.DeploymentIs("prod", v1alpha1.ConditionReady, "False",
		v1alpha1.ReasonUnauthorized, ""))

	w.WriteSecret("token", map[string]string{})
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonConfigInvalid, "token"))
	w.asksForVerification("now")
	w.Eventually(w.verifiedOn("now"))
	before = w.countVerifications()
	w.Throughout(time.Second, func(context.Context) error {
		if got := w.countVerifications() - before; got > 0 {
			return fmt.Errorf("%d verifications without a request", got)
		}
		return nil
	})
}

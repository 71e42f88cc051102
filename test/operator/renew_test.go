// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// mintedSince counts the posts of tokens.
func (w *world) mintedSince(before, want int) check {
	return func(context.Context) error {
		if got := w.mints() - before; got != want {
			return fmt.Errorf("%d tokens were minted, want %d", got, want)
		}
		return nil
	}
}

// A renewal on request is a new token now, with the usual overlap, once for each request,
// also over a restart (B40, B43, B54).
func TestAMintedSessionIsRenewedOnRequest(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("500ms")), w.mint("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		overlap := v1alpha1.Duration("4s")
		spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
	}))
	w.eventually(w.ready("ci"))
	old, before := string(w.nowSecret("ci").Data["session"]), w.mints()
	w.asksForRenewal("ci", first)
	w.eventually(w.serial("ci", 2), w.ready("ci"), w.handled("ci", first))
	if !w.coder.AcceptsToken(old) {
		t.Error("the old token went without an overlap")
	}
	w.eventually(w.liveTokens(1), w.mintedSince(before, 1))

	w.operator.stop()
	w.startOperator()
	w.listedAgain()
	w.throughout(time.Second, w.mintedSince(before, 1), w.ready("ci"))
	w.asksForRenewal("ci", second)
	w.eventually(w.handled("ci", second), w.serial("ci", 3), w.mintedSince(before, 2))

	// A request that is taken back is none.
	w.changeSession("ci", func(s *v1alpha1.CoderSession) { s.Annotations = nil })
	w.throughout(time.Second, w.mintedSince(before, 2), w.handled("ci", second))
}

// A request that cannot be served now stays, and is when it can: here by somebody who may
// not use the deployment, and by a session that is paused.
func TestARequestIsServedWhenItCanBe(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("500ms")), w.mint("ci", "ci-bot"), w.mint("held", "ada"))
	w.eventually(w.ready("ci"), w.ready("held"))
	w.must(w.coder.Suspend("ci-bot"))
	w.changeSession("held", func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	w.eventually(w.notReady("ci", v1alpha1.ReasonSuspended, "suspended"), w.notReady("held", v1alpha1.ReasonPaused, ""))
	before := w.mints()
	w.asksForRenewal("ci", first)
	w.asksForRenewal("held", first)
	w.throughout(2*time.Second, w.mintedSince(before, 0), w.handled("ci", ""), w.handled("held", ""))
	w.must(w.coder.Activate("ci-bot"))
	w.changeSession("held", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	w.eventually(w.ready("ci"), w.ready("held"), w.handled("ci", first), w.handled("held", first), w.mintedSince(before, 2))
}

// On request a grant is refreshed, and the server asked about credentials of others.
func TestOtherSessionsAreRenewedOnRequest(t *testing.T) {
	w := newWorld(t, mTLS, certificateIdentifies, provider)
	w.writeSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.create(w.deployment("prod"), w.oauth("person"), w.supplied("own", "mine"), w.certificate("edge"))
	w.eventually(w.asks("person", v1alpha1.ReasonAwaitingAuthorization))
	w.consents("person", "ada")
	w.eventually(w.ready("person"), w.ready("own"), w.ready("edge"))
	old := string(w.nowSecret("person").Data["session"])
	me := func() int { return w.coder.Count("GET", "/api/v2/users/{user}") }
	for _, name := range []string{"person", "own", "edge"} {
		before := me()
		w.asksForRenewal(name, first)
		w.eventually(w.handled(name, first), w.ready(name), func(context.Context) error {
			if me() == before {
				return fmt.Errorf("session %s: the server was not asked", name)
			}
			return nil
		})
	}
	now := string(w.nowSecret("person").Data["session"])
	if now == old || w.coder.AcceptsToken(old) {
		t.Error("the grant was not refreshed")
	}
	// Asked once, it is done once.
	w.throughout(time.Second, func(context.Context) error {
		if got := string(w.nowSecret("person").Data["session"]); got != now {
			return fmt.Errorf("the grant is refreshed again")
		}
		return nil
	})
}

// asksForVerification does what kubectl coder verify does.
func (w *world) asksForVerification(when string) {
	w.t.Helper()
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Annotations = map[string]string{v1alpha1.AnnotationVerifyRequestedAt: when}
	})
}

// verifiedOn: the request for a verification is answered.
func (w *world) verifiedOn(request string) check {
	return func(ctx context.Context) error {
		d, err := w.getDeployment(ctx, "prod")
		if err == nil && d.Status.LastHandledVerifyAt != request {
			return fmt.Errorf("answered is %q, want %q", d.Status.LastHandledVerifyAt, request)
		}
		return err
	}
}

// A deployment is verified on request, whatever its interval, once; a bad answer is one,
// and so is that there is nothing to ask with.
func TestADeploymentIsVerifiedOnRequest(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot")) // an hour's interval
	w.eventually(w.verified("prod"), w.ready("ci"), w.counted(1))
	before, lists := w.verifications(), w.coder.Count("GET", "/api/v2/users")
	w.must(w.coder.RevokeKey(w.nowSession("ci").Status.Token.ID))
	w.asksForVerification(first)
	w.eventually(w.verifiedOn(first), w.serial("ci", 2), w.ready("ci")) // B44: the list came with it
	if got := w.verifications() - before; got != 1 || w.coder.Count("GET", "/api/v2/users") == lists {
		t.Errorf("%d verifications for one request", got)
	}

	w.must(w.coder.RevokeKey(string(w.nowSecret("token").Data["token"])[:10]))
	w.asksForVerification(second)
	w.eventually(w.verifiedOn(second), w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnauthorized, ""))

	w.writeSecret("token", map[string]string{})
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonConfigInvalid, "token"))
	w.asksForVerification("now")
	w.eventually(w.verifiedOn("now"))
	before = w.verifications()
	w.throughout(time.Second, func(context.Context) error {
		if got := w.verifications() - before; got > 0 {
			return fmt.Errorf("%d verifications without a request", got)
		}
		return nil
	})
}

// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// B09, B10: sessions that a wrong certificate suspended all return when it is
// corrected, without a write to them.
func TestSuspendedSessionsRecoverTogether(t *testing.T) {
	w := newEnv(t, certificateIdentifies)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		w.Create(w.NewCertificateSession(name))
	}
	var all, suspended []wait.Check
	for _, name := range names {
		all = append(all, w.IsReady(name))
		suspended = append(suspended, w.IsNotReady(name, v1alpha1.ReasonSuspended, ""))
	}
	w.Eventually(all...)
	pair := w.CurrentSecret("mtls").Data
	generations := map[string]int64{}
	for _, name := range names {
		generations[name] = w.CurrentSession(name).Generation
	}

	stranger, err := certs.NewAuthority("strangers", coderdClock{w.Coder})
	w.Must(err)
	wrong, err := stranger.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
	w.Must(err)
	w.WriteSecret("mtls", map[string]string{"tls.crt": string(wrong.CertPEM), "tls.key": string(wrong.KeyPEM)})
	w.Eventually(suspended...)
	if s := w.CurrentSession("a"); s.Status.Suspension == nil || s.Status.Suspension.StartTime.IsZero() {
		t.Errorf("the suspension is not explained: %+v", s.Status.Suspension)
	}
	// A minted token outlives the operator's own fault.
	w.Eventually(w.IsReady("ci"))

	w.WriteSecret("mtls", map[string]string{"tls.crt": string(pair["tls.crt"]), "tls.key": string(pair["tls.key"])})
	w.Eventually(all...)
	for _, name := range names {
		if s := w.CurrentSession(name); s.Generation != generations[name] || s.Status.Suspension != nil {
			t.Errorf("session %s: generation %d, suspension %+v", name, s.Generation, s.Status.Suspension)
		}
	}
}

// B09: a supplied token that was revoked suspends; the next write brings the
// session back.
func TestAnInvalidSuppliedTokenWaitsForTheNextWrite(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.WriteSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewSuppliedSession("ci", "mine"))
	w.Eventually(w.IsReady("ci"))
	published := string(w.CurrentSecret("ci").Data["session"])

	dead := w.userToken("ada")
	w.Must(w.Coder.RevokeKey(dead[:10]))
	w.WriteSecret("mine", map[string]string{"token": dead})
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonSuspended, "mine"))
	if got := string(w.CurrentSecret("ci").Data["session"]); got != published {
		t.Error("a token that the server refuses took the place of one that it accepts")
	}

	good := w.userToken("ada")
	w.WriteSecret("mine", map[string]string{"token": good})
	w.Eventually(w.IsReady("ci"), func(context.Context) error {
		if got := string(w.CurrentSecret("ci").Data["session"]); got != good {
			return fmt.Errorf("the new token is not published")
		}
		return nil
	})
}

// B47: a suspended user is waited for; nothing is minted meanwhile.
func TestASuspendedUserIsWaitedFor(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	mints := w.CountMints()
	w.Must(w.Coder.Suspend("ci-bot"))
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonSuspended, "ci-bot"))
	w.Must(w.Coder.Activate("ci-bot"))
	w.Eventually(w.IsReady("ci"))
	if got := w.CountMints(); got != mints {
		t.Errorf("%d tokens were minted for a suspended user", got-mints)
	}
}

// B46: the operator's own dead token stops minting and deletes nothing.
func TestTheOperatorsDeadTokenDeletesNothing(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	own := string(w.CurrentSecret("token").Data["token"])
	w.Must(w.Coder.RevokeKey(own[:10]))
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnauthorized, ""))
	w.Create(w.NewMintedSession("late", "ci-bot"))
	w.Eventually(w.IsNotReady("late", v1alpha1.ReasonAwaitingDeployment, ""), w.IsReady("ci"), w.hasLiveTokens(1))

	w.WriteSecret("token", map[string]string{"token": w.userToken("operator")})
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"), w.IsReady("late"))
}

// An outage makes nothing bad that is good: Authenticated becomes Unknown, Ready
// stays.
func TestAnOutageLeavesGoodCredentialsReady(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	w.listener.Stop()
	w.Eventually(
		w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnreachable, ""),
		w.SessionIs("ci", v1alpha1.ConditionAuthenticated, "Unknown", v1alpha1.ReasonUnreachable, ""),
		w.SessionIs("ci", v1alpha1.ConditionReady, "True", v1alpha1.ReasonActive, ""),
	)
	w.Must(w.listener.Restart())
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"),
		w.SessionHasNo("ci", v1alpha1.ConditionAuthenticated))
}

// B162: a short outage writes nothing of a session whose credential is good.
func TestAShortOutageWritesNoSession(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("5m")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	before := w.CurrentSession("ci").ResourceVersion
	w.listener.Stop()
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		metav1.SetMetaDataAnnotation(&d.ObjectMeta, v1alpha1.AnnotationVerifyRequestedAt, "now")
	})
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnreachable, ""))
	w.Must(w.listener.Restart())
	w.Eventually(w.IsVerified("prod"))
	w.Throughout(time.Second, func(context.Context) error {
		if s := w.CurrentSession("ci"); s.ResourceVersion != before {
			return fmt.Errorf("the session was written: %+v", s.Status)
		}
		return nil
	})
}

// B08: a 401 that meets settings which are changing is not believed.
func TestARefusalWhileSettlingIsNotBelieved(t *testing.T) {
	w := newEnv(t, certificateIdentifies)
	w.startOperator()
	w.Create(w.newDeployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Token = nil
		spec.Verify.QuietPeriod = "2s"
	}), w.NewCertificateSession("edge"))
	w.Eventually(w.IsReady("edge"))
	remove := w.Coder.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized, Path: "/api/v2/users/me"})
	w.WriteSecret("edge-headers", map[string]string{"id": "half"})
	w.Throughout(300 * time.Millisecond) // for the event to arrive before the next one
	w.EditSession("edge", func(s *v1alpha1.CoderSession) {
		s.Spec.Secret = &v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"a": "b"}}
	})
	w.Throughout(time.Second, func(ctx context.Context) error {
		s, err := w.GetSession(ctx, "edge")
		if err == nil && s.Status.Suspension != nil {
			return fmt.Errorf("suspended while settings were changing")
		}
		return err
	})
	remove()
	w.Eventually(w.IsReady("edge"), w.IsVerified("prod"))
}

// A server that was away, or behind something else that answered, is noticed within seconds after it is
// back, and not an interval later.
func TestRecoveryIsNoticedWithinSeconds(t *testing.T) {
	for name, fault := range map[string]coderd.Fault{
		"server errors":     {Kind: coderd.FaultStatus, Status: 503},
		"a page with 200":   {Kind: coderd.FaultHTML, Status: 200},
		"an edge's refusal": {Kind: coderd.FaultHTML, Status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			w.WriteSecret("mine", map[string]string{"token": w.userToken("ada")})
			w.startOperator()
			w.Create(w.newDeployment("prod", withInterval("1h")), w.NewMintedSession("ci", "ci-bot"),
				w.NewSuppliedSession("hers", "mine"))
			w.Eventually(w.IsVerified("prod"), w.IsReady("ci"), w.IsReady("hers"))
			remove := w.Coder.Inject(fault)
			requestVerification(w)
			w.Eventually(func(ctx context.Context) error {
				if w.IsVerified("prod")(ctx) == nil {
					return fmt.Errorf("the deployment is still verified")
				}
				return nil
			}, w.IsReady("ci"), w.IsReady("hers"))
			remove()
			w.Eventually(w.IsVerified("prod"), w.IsReady("ci"), w.IsReady("hers"))
			if got := w.CountMints(); got != 1 {
				t.Errorf("%d tokens were minted", got)
			}
		})
	}
}

func requestVerification(w *operatorEnv) {
	w.T.Helper()
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Annotations = map[string]string{v1alpha1.AnnotationVerifyRequestedAt: "now"}
	})
}

// B41, B46: a password that is changed deletes all tokens of its user. Those of a session's user are
// minted again within the interval; of those of the operator nothing is minted or deleted, and another
// token in the Secret is all that is needed.
func TestAChangedPasswordDeletesAllTokensOfAUser(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("one", "ci-bot"),
		w.NewMintedSession("two", "ci-bot"))
	w.Eventually(w.IsReady("one"), w.IsReady("two"), w.hasLiveTokens(2))
	for _, key := range w.mintedTokens() {
		w.Must(w.Coder.RevokeKey(key.ID))
	}
	w.Eventually(w.hasLiveTokens(2), w.IsReady("one"), w.IsReady("two"))
	mints := w.CountMints()
	if mints != 4 {
		t.Errorf("%d tokens were minted, want 4", mints)
	}

	own := string(w.CurrentSecret("token").Data["token"])
	w.Must(w.Coder.RevokeKey(own[:10]))
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnauthorized, ""))
	w.Throughout(time.Second, w.hasLiveTokens(2), w.IsReady("one"), w.IsReady("two"))
	w.WriteSecret("token", map[string]string{"token": w.userToken("operator")})
	w.Eventually(w.IsVerified("prod"), w.IsReady("one"), w.IsReady("two"))
	if got := w.CountMints(); got != mints {
		t.Errorf("%d tokens were minted while the operator's token was dead", got-mints)
	}
}

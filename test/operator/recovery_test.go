// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B09, B10: sessions that a wrong certificate suspended all return when it is
// mended, and nobody touches them.
func TestSuspendedSessionsRecoverTogether(t *testing.T) {
	w := newWorld(t, certificateIdentifies)
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot"))
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		w.create(w.certificate(name))
	}
	var all, suspended []check
	for _, name := range names {
		all = append(all, w.ready(name))
		suspended = append(suspended, w.notReady(name, v1alpha1.ReasonSuspended, ""))
	}
	w.eventually(all...)
	pair := w.nowSecret("mtls").Data
	generations := map[string]int64{}
	for _, name := range names {
		generations[name] = w.nowSession(name).Generation
	}

	stranger, err := certs.NewAuthority("strangers", coderdClock{w.coder})
	w.must(err)
	wrong, err := stranger.Issue(certs.Request{Usage: certs.Client, CommonName: "operator"})
	w.must(err)
	w.writeSecret("mtls", map[string]string{"tls.crt": string(wrong.CertPEM), "tls.key": string(wrong.KeyPEM)})
	w.eventually(suspended...)
	if s := w.nowSession("a"); s.Status.Suspension == nil || s.Status.Suspension.StartTime.IsZero() {
		t.Errorf("the suspension is not explained: %+v", s.Status.Suspension)
	}
	// A minted token outlives the operator's own fault.
	w.eventually(w.ready("ci"))

	w.writeSecret("mtls", map[string]string{"tls.crt": string(pair["tls.crt"]), "tls.key": string(pair["tls.key"])})
	w.eventually(all...)
	for _, name := range names {
		if s := w.nowSession(name); s.Generation != generations[name] || s.Status.Suspension != nil {
			t.Errorf("session %s: generation %d, suspension %+v", name, s.Generation, s.Status.Suspension)
		}
	}
}

// B09: a supplied token that was revoked suspends; the next write brings the
// session back.
func TestAnInvalidSuppliedTokenWaitsForTheNextWrite(t *testing.T) {
	w := newWorld(t, mTLS)
	w.writeSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.create(w.deployment("prod"), w.supplied("ci", "mine"))
	w.eventually(w.ready("ci"))
	published := string(w.nowSecret("ci").Data["session"])

	dead := w.userToken("ada")
	w.must(w.coder.RevokeKey(dead[:10]))
	w.writeSecret("mine", map[string]string{"token": dead})
	w.eventually(w.notReady("ci", v1alpha1.ReasonSuspended, "mine"))
	if got := string(w.nowSecret("ci").Data["session"]); got != published {
		t.Error("a token that the server refuses took the place of one that it accepts")
	}

	good := w.userToken("ada")
	w.writeSecret("mine", map[string]string{"token": good})
	w.eventually(w.ready("ci"), func(context.Context) error {
		if got := string(w.nowSecret("ci").Data["session"]); got != good {
			return fmt.Errorf("the new token is not published")
		}
		return nil
	})
}

// B47: a suspended user is waited for; nothing is minted meanwhile.
func TestASuspendedUserIsWaitedFor(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("500ms")), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"))
	mints := w.mints()
	w.must(w.coder.Suspend("ci-bot"))
	w.eventually(w.notReady("ci", v1alpha1.ReasonSuspended, "ci-bot"))
	w.must(w.coder.Activate("ci-bot"))
	w.eventually(w.ready("ci"))
	if got := w.mints(); got != mints {
		t.Errorf("%d tokens were minted for a suspended user", got-mints)
	}
}

// B46: the operator's own dead token stops minting and deletes nothing.
func TestTheOperatorsDeadTokenDeletesNothing(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("500ms")), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"))
	own := string(w.nowSecret("token").Data["token"])
	w.must(w.coder.RevokeKey(own[:10]))
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnauthorized, ""))
	w.create(w.mint("late", "ci-bot"))
	w.eventually(w.notReady("late", v1alpha1.ReasonAwaitingDeployment, ""), w.ready("ci"), w.liveTokens(1))

	w.writeSecret("token", map[string]string{"token": w.userToken("operator")})
	w.eventually(w.verified("prod"), w.ready("ci"), w.ready("late"))
}

// An outage makes nothing bad that is good: Authenticated becomes Unknown, Ready
// stays.
func TestAnOutageLeavesGoodCredentialsReady(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("500ms")), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"))
	w.listener.Stop()
	w.eventually(
		w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnreachable, ""),
		w.sessionIs("ci", v1alpha1.ConditionAuthenticated, "Unknown", v1alpha1.ReasonUnreachable, ""),
		w.sessionIs("ci", v1alpha1.ConditionReady, "True", v1alpha1.ReasonActive, ""),
	)
	w.must(w.listener.Restart())
	w.eventually(w.verified("prod"), w.ready("ci"), w.sessionIs("ci", v1alpha1.ConditionAuthenticated, "True", v1alpha1.ReasonAccepted, ""))
}

// B08: a 401 that meets settings which are changing is not believed.
func TestARefusalWhileSettlingIsNotBelieved(t *testing.T) {
	w := newWorld(t, certificateIdentifies)
	w.startOperator()
	w.create(w.deployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Token = nil
		spec.Verify.QuietPeriod = "2s"
	}), w.certificate("edge"))
	w.eventually(w.ready("edge"))
	remove := w.coder.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized, Path: "/api/v2/users/me"})
	w.writeSecret("edge-headers", map[string]string{"id": "half"})
	w.throughout(300 * time.Millisecond) // for the event to arrive before the next one
	w.changeSession("edge", func(s *v1alpha1.CoderSession) {
		s.Spec.Secret = &v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"a": "b"}}
	})
	w.throughout(time.Second, func(ctx context.Context) error {
		s, err := w.getSession(ctx, "edge")
		if err == nil && s.Status.Suspension != nil {
			return fmt.Errorf("suspended while settings were changing")
		}
		return err
	})
	remove()
	w.eventually(w.ready("edge"), w.verified("prod"))
}

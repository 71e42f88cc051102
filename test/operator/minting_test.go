// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// withShortLifetime makes a token of a minute be replaced after eight seconds.
func withShortLifetime(overlap v1alpha1.Duration) func(*v1alpha1.CoderSessionSpec) {
	before := v1alpha1.Duration("52s")
	return func(spec *v1alpha1.CoderSessionSpec) {
		spec.Auth.Mint.Lifetime = "1m"
		spec.Rotation = &v1alpha1.Rotation{RenewBefore: &before, Overlap: &overlap}
	}
}

// hasSerial: the session publishes a token with at least this serial.
func (w *operatorEnv) hasSerial(name string, atLeast int64) wait.Check {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
		if err != nil {
			return err
		}
		if s.Status.Token == nil || s.Status.Token.Serial < atLeast {
			return fmt.Errorf("session %s publishes %+v, want serial %d", name, s.Status.Token, atLeast)
		}
		return nil
	}
}

// B42, B43: at every moment of a rotation the Secret's token is accepted; the old
// one lives on for the overlap and is then revoked.
func TestARotationHasNoGap(t *testing.T) {
	for _, generation := range []coderd.Profile{coderd.ProfileR30, coderd.ProfileNew} {
		t.Run(string(generation), func(t *testing.T) {
			w := newEnv(t, withMTLS, withProfile(generation))
			w.startOperator()
			w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", withShortLifetime("6s")))
			w.Eventually(w.IsReady("ci"), w.hasSerial("ci", 1))
			first := string(w.CurrentSecret("ci").Data["session"])
			accepted := func(ctx context.Context) error {
				secret, err := w.GetSecret(ctx, "ci")
				if err == nil && !w.Coder.AcceptsToken(string(secret.Data["session"])) {
					return fmt.Errorf("the token in the Secret is not accepted")
				}
				return err
			}
			rotated := false
			w.Eventually(func(ctx context.Context) error {
				if err := accepted(ctx); err != nil {
					t.Fatal(err)
				}
				if err := w.hasSerial("ci", 2)(ctx); err != nil {
					return err
				}
				if !rotated {
					rotated = true
					if !w.Coder.AcceptsToken(first) {
						t.Error("the old token was revoked before its overlap was over")
					}
					if s := w.CurrentSession("ci"); len(s.Status.PendingRevocations) == 0 {
						t.Error("the old token is not among those pending revocation")
					}
				}
				if w.Coder.AcceptsToken(first) {
					return fmt.Errorf("the old token is still accepted")
				}
				return nil
			})
		})
	}
}

// B44: a token that was revoked on the server is replaced within an interval.
func TestARevokedTokenIsReplaced(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	was := w.CurrentSession("ci").Status.Token.ID
	w.Must(w.Coder.RevokeKey(was))
	w.Eventually(w.hasSerial("ci", 2), w.IsReady("ci"), w.hasLiveTokens(1))
}

// B120: nor does "coder tokens rm" leave a session with a token that is dead; since 2.31 it expires
// the token, which the server goes on to list.
func TestAnExpiredTokenIsReplaced(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	w.Must(w.Coder.ExpireKey(w.CurrentSession("ci").Status.Token.ID))
	w.Eventually(w.hasSerial("ci", 2), w.IsReady("ci"), w.hasLiveTokens(1))
}

// B120: an expired token of a person suspends the session within an interval; that of a grant is
// refreshed, or consent is asked for.
func TestAnExpiredTokenOfAPersonIsNoticed(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	w.startOperator()
	value := w.userToken("ada")
	w.WriteSecret("mine", map[string]string{"token": value})
	w.Create(w.newDeployment("prod", withInterval("1s")), w.NewSuppliedSession("own", "mine"), w.newOAuthSession("ci"))
	w.Eventually(w.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	w.giveConsent("ci", "ada")
	w.Eventually(w.IsReady("ci"), w.IsReady("own"))
	granted := string(w.CurrentSecret("ci").Data["session"])
	w.Must(w.Coder.ExpireKey(value[:10]))
	w.Must(w.Coder.ExpireKey(granted[:10]))
	w.within(3*time.Second, w.IsNotReady("own", v1alpha1.ReasonSuspended, ""), func(ctx context.Context) error {
		s, err := w.GetSecret(ctx, "ci")
		if err == nil && string(s.Data["session"]) == granted {
			err = errors.New("the expired token is still published")
		}
		return err
	}, w.IsReady("ci"))
}

// B125: a token whose scopes do not let it read its user is alive, and a scope that the server does not
// know is reported before a token is minted.
func TestScopesOfTokens(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	value, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: "operator", Scopes: []string{"workspace:read"}})
	w.Must(err)
	w.Create(w.newDeployment("prod", withInterval("500ms")))
	w.Eventually(w.IsVerified("prod"))
	unknown := w.NewMintedSession("ci", "ci-bot")
	unknown.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read", "task:read"}
	w.Create(unknown)
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonConfigInvalid, "task:read"))
	if got := w.CountMints(); got != 0 {
		t.Errorf("%d tokens were asked for", got)
	}
	w.WriteSecret("token", map[string]string{"token": value})
	w.Eventually(w.IsVerified("prod"), func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, "prod")
		if err == nil && d.Status.User != nil {
			err = errors.New("the scoped token is not in use yet")
		}
		return err
	})
}

// B41: an answer that was lost after the server had minted leaves no second live
// token.
func TestALostAnswerLeavesNoSecondToken(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	w.Eventually(w.IsVerified("prod"))
	w.Coder.Inject(coderd.Fault{Kind: coderd.FaultDropAnswer, Method: "POST", Path: "/api/v2/users/{user}/keys/tokens",
		Times: 1})
	w.Create(w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1))
	if got := w.CountMints(); got < 3 {
		t.Errorf("%d posts: the name that was taken was not met", got)
	}
}

// B40: an operator that ends between minting and status is followed by one that
// finds exactly one live token.
func TestACrashDuringMintingLeavesOneToken(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	w.Eventually(w.IsVerified("prod"))
	gate := coderd.NewGate()
	w.Coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Late: true, Method: "POST",
		Path: "/api/v2/users/{user}/keys/tokens", Times: 1})
	w.Coder.Inject(coderd.Fault{Kind: coderd.FaultDropAnswer, Method: "POST", Path: "/api/v2/users/{user}/keys/tokens",
		Times: 1})
	w.Create(w.NewMintedSession("ci", "ci-bot"))
	<-gate.Entered()
	stopped := make(chan struct{})
	go func() { w.stopOperator(); close(stopped) }()
	gate.Release()
	<-stopped
	w.startOperator()
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1))
}

// B54: with everything current a restart mints nothing and writes nothing.
func TestARestartChangesNothing(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.WriteSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"), w.NewSuppliedSession("own", "mine"),
		w.NewCertificateSession("edge"))
	w.Eventually(w.IsReady("ci"), w.IsReady("own"), w.hasSessionCount(3))
	w.stopOperator()
	mints := w.CountMints()
	versions := map[string]string{"ci": w.CurrentSecret("ci").ResourceVersion,
		"own": w.CurrentSecret("own").ResourceVersion}
	verified := w.countVerifications()
	w.startOperator()
	w.Eventually(func(context.Context) error {
		if w.countVerifications() == verified {
			return fmt.Errorf("not verified again yet")
		}
		return nil
	})
	w.Throughout(time.Second, func(ctx context.Context) error {
		if got := w.CountMints(); got != mints {
			return fmt.Errorf("%d tokens were minted", got-mints)
		}
		for name, version := range versions {
			secret, err := w.GetSecret(ctx, name)
			if err != nil {
				return err
			}
			if secret.ResourceVersion != version {
				return fmt.Errorf("the Secret %s was written", name)
			}
		}
		return nil
	})
}

// hasSessionCount: the deployment has counted its sessions.
func (w *operatorEnv) hasSessionCount(total int32) wait.Check {
	return func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, "prod")
		if err != nil {
			return err
		}
		if d.Status.Sessions == nil || d.Status.Sessions.Total != total {
			return fmt.Errorf("the deployment counts %+v", d.Status.Sessions)
		}
		return nil
	}
}

// B51: verifying many minted sessions costs a constant number of requests, and a
// steady state costs the API server nothing.
func TestASteadyStateIsQuiet(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s")))
	const sessions = 12
	var all []wait.Check
	for i := range sessions {
		name := fmt.Sprintf("ci-%d", i)
		w.Create(w.NewMintedSession(name, "ci-bot"))
		all = append(all, w.IsReady(name))
	}
	w.Eventually(append(all, w.hasSessionCount(sessions))...)
	// A listing and the counts may still be under way; from the next verification
	// on all is quiet.
	settled := w.countVerifications() + 2
	w.Eventually(func(context.Context) error {
		if w.countVerifications() < settled {
			return fmt.Errorf("not verified again yet")
		}
		return nil
	})
	w.costsTheSame(sessions)
}

// costsTheSame holds a steady state to requests that do not grow with the number of sessions, and
// to no call of the API server but one for each verification, which status has the time of (B126).
func (w *operatorEnv) costsTheSame(sessions int) {
	w.T.Helper()
	before := w.calls.allCalls()
	w.Coder.ResetLog()
	w.Throughout(3500 * time.Millisecond)
	// The window may open or close in the middle of a verification: one more. A request
	// per session would be as many more for each as there are sessions.
	verified := w.countVerifications()
	if got := len(w.Coder.Requests()); verified == 0 || got > 6*(verified+1) {
		w.T.Errorf("%d requests for %d verifications of %d sessions", got, verified, sessions)
	}
	calls := w.calls.callsSince(before)
	const heartbeat = "PATCH coderdeployments/status"
	if got := calls[heartbeat]; got > verified+1 {
		w.T.Errorf("%d updates of the deployment's status for %d verifications", got, verified)
	}
	delete(calls, heartbeat)
	if diff := cmp.Diff(map[string]int{}, calls); diff != "" {
		w.T.Errorf("calls to the API server in a steady state (-want +got):\n%s", diff)
	}
}

// B49: a lifetime above the server's maximum is cut, and a condition says so.
func TestALongLifetimeIsCut(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Must(w.Coder.SetRoles("ci-bot", "owner"))
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot",
		func(spec *v1alpha1.CoderSessionSpec) { spec.Auth.Mint.Lifetime = "720h" }))
	w.Eventually(w.IsReady("ci"), w.SessionIs("ci", v1alpha1.ConditionLifetimeCut, metav1.ConditionTrue,
		v1alpha1.ReasonServerMaximum, "168h"))
	token := w.CurrentSession("ci").Status.Token
	if got := token.ExpirationTime.Sub(token.IssueTime.Time).Round(time.Hour); got != 168*time.Hour {
		t.Errorf("the token lives %s", got)
	}
}

// B48: a username that now belongs to another user stops the session.
func TestANameThatChangedHandsStopsTheSession(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	w.Must(w.Coder.DeleteUser("ci-bot"))
	_, err := w.Coder.CreateUser(coderd.UserOptions{Username: "ci-bot", Email: "other@example.test"})
	w.Must(err)
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonConfigInvalid, "another account"), w.hasLiveTokens(0))
}

// What the spec asks for is what is minted; another wish replaces the token.
func TestAChangedWishIsMintedAnew(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		overlap := v1alpha1.Duration("1s")
		spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
	}))
	w.Eventually(w.IsReady("ci"))
	w.EditSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"}
		s.Spec.Auth.Mint.AllowList = []v1alpha1.AllowListEntry{"workspace:*"}
	})
	w.Eventually(w.hasSerial("ci", 2), w.IsReady("ci"), w.hasLiveTokens(1))
	if diff := cmp.Diff([]string{"workspace:read"}, w.CurrentSession("ci").Status.Token.Scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
}

// A wish that the server refuses says so and is not repeated without end.
func TestAWishThatTheServerRefusesIsSaid(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		spec.Auth.Mint.Scopes = []v1alpha1.Scope{"debug_info:read"}
	}), w.NewMintedSession("unknown", "stranger"))
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonConfigInvalid, "debug_info:read"),
		w.IsNotReady("unknown", v1alpha1.ReasonConfigInvalid, `"stranger"`))
	mints := w.CountMints()
	w.Throughout(time.Second, func(context.Context) error {
		if got := w.CountMints(); got > mints+1 {
			return fmt.Errorf("a hot loop: %d posts", got)
		}
		return nil
	})
}

// B45: a token of this cluster that no session claims is revoked; other names, and
// another cluster's prefix, are never touched.
func TestOrphansAreRevokedAndOthersLeftAlone(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	names := map[string]string{
		"orphan": "cso-testing1-0badcafe-7", "another cluster's": "cso-elsewher-0badcafe-7", "a person's": "laptop",
	}
	values := map[string]string{}
	for what, name := range names {
		value, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: "ci-bot", Name: name})
		w.Must(err)
		values[what] = value
	}
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"), func(context.Context) error {
		if w.Coder.AcceptsToken(values["orphan"]) {
			return fmt.Errorf("the orphan is still accepted")
		}
		return nil
	})
	for _, what := range []string{"another cluster's", "a person's"} {
		if !w.Coder.AcceptsToken(values[what]) {
			t.Errorf("%s token was revoked", what)
		}
	}
	w.Eventually(w.IsReady("ci"))
}

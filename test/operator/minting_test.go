// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// rotating makes a token of a minute be replaced after eight seconds.
func rotating(overlap v1alpha1.Duration) func(*v1alpha1.CoderSessionSpec) {
	before := v1alpha1.Duration("52s")
	return func(spec *v1alpha1.CoderSessionSpec) {
		spec.Auth.Mint.Lifetime = "1m"
		spec.Rotation = &v1alpha1.Rotation{RenewBefore: &before, Overlap: &overlap}
	}
}

// serial: the session publishes a token with at least this serial.
func (w *world) serial(name string, atLeast int64) check {
	return func(ctx context.Context) error {
		s, err := w.getSession(ctx, name)
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
			w := newWorld(t, mTLS, profile(generation))
			w.startOperator()
			w.create(w.deployment("prod"), w.mint("ci", "ci-bot", rotating("6s")))
			w.eventually(w.ready("ci"), w.serial("ci", 1))
			first := string(w.nowSecret("ci").Data["session"])
			accepted := func(ctx context.Context) error {
				secret, err := w.getSecret(ctx, "ci")
				if err == nil && !w.coder.AcceptsToken(string(secret.Data["session"])) {
					return fmt.Errorf("the token in the Secret is not accepted")
				}
				return err
			}
			rotated := false
			w.eventually(func(ctx context.Context) error {
				if err := accepted(ctx); err != nil {
					t.Fatal(err)
				}
				if err := w.serial("ci", 2)(ctx); err != nil {
					return err
				}
				if !rotated {
					rotated = true
					if !w.coder.AcceptsToken(first) {
						t.Error("the old token was revoked before its overlap was over")
					}
					if s := w.nowSession("ci"); len(s.Status.PendingRevocations) == 0 {
						t.Error("the old token is not listed as retiring")
					}
				}
				if w.coder.AcceptsToken(first) {
					return fmt.Errorf("the old token is still accepted")
				}
				return nil
			})
		})
	}
}

// B44: a token that was revoked on the server is replaced within an interval.
func TestARevokedTokenIsReplaced(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("500ms")), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"))
	was := w.nowSession("ci").Status.Token.ID
	w.must(w.coder.RevokeKey(was))
	w.eventually(w.serial("ci", 2), w.ready("ci"), w.liveTokens(1))
}

// B41: an answer that was lost after the server had minted leaves no second live
// token.
func TestALostAnswerLeavesNoSecondToken(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"))
	w.eventually(w.verified("prod"))
	w.coder.Inject(coderd.Fault{Kind: coderd.FaultDropAnswer, Method: "POST", Path: "/api/v2/users/{user}/keys/tokens", Times: 1})
	w.create(w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"), w.liveTokens(1))
	if got := w.mints(); got < 3 {
		t.Errorf("%d posts: the name that was taken was not met", got)
	}
}

// B40: an operator that ends between minting and status is followed by one that
// finds exactly one live token.
func TestACrashDuringMintingLeavesOneToken(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"))
	w.eventually(w.verified("prod"))
	gate := coderd.NewGate()
	w.coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Late: true, Method: "POST", Path: "/api/v2/users/{user}/keys/tokens", Times: 1})
	w.coder.Inject(coderd.Fault{Kind: coderd.FaultDropAnswer, Method: "POST", Path: "/api/v2/users/{user}/keys/tokens", Times: 1})
	w.create(w.mint("ci", "ci-bot"))
	<-gate.Entered()
	stopped := make(chan struct{})
	go func() { w.operator.stop(); close(stopped) }()
	gate.Release()
	<-stopped
	w.startOperator()
	w.eventually(w.ready("ci"), w.liveTokens(1))
}

// B54: with everything current a restart mints nothing and writes nothing.
func TestARestartChangesNothing(t *testing.T) {
	w := newWorld(t, mTLS)
	w.writeSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot"), w.supplied("own", "mine"), w.certificate("edge"))
	w.eventually(w.ready("ci"), w.ready("own"), w.counted(3))
	w.operator.stop()
	mints := w.mints()
	versions := map[string]string{"ci": w.nowSecret("ci").ResourceVersion, "own": w.nowSecret("own").ResourceVersion}
	verified := w.verifications()
	w.startOperator()
	w.eventually(func(context.Context) error {
		if w.verifications() == verified {
			return fmt.Errorf("not verified again yet")
		}
		return nil
	})
	w.throughout(time.Second, func(ctx context.Context) error {
		if got := w.mints(); got != mints {
			return fmt.Errorf("%d tokens were minted", got-mints)
		}
		for name, version := range versions {
			secret, err := w.getSecret(ctx, name)
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

// counted: the deployment has counted its sessions.
func (w *world) counted(total int32) check {
	return func(ctx context.Context) error {
		d, err := w.getDeployment(ctx, "prod")
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
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("1s")))
	const sessions = 12
	var all []check
	for i := range sessions {
		name := fmt.Sprintf("ci-%d", i)
		w.create(w.mint(name, "ci-bot"))
		all = append(all, w.ready(name))
	}
	w.eventually(append(all, w.counted(sessions))...)
	// A listing and the counts may still be under way; from the next verification
	// on all is quiet.
	settled := w.verifications() + 2
	w.eventually(func(context.Context) error {
		if w.verifications() < settled {
			return fmt.Errorf("not verified again yet")
		}
		return nil
	})
	w.costsTheSame(sessions)
}

// costsTheSame holds a steady state to requests that do not grow with the number of sessions, and to no call of the API
// server.
func (w *world) costsTheSame(sessions int) {
	w.t.Helper()
	before := w.operator.calls.snapshot()
	w.coder.ResetLog()
	w.throughout(3500 * time.Millisecond)
	// The window may open or close in the middle of a verification: one more. A request
	// per session would be as many more for each as there are sessions.
	verified := w.verifications()
	if got := len(w.coder.Requests()); verified == 0 || got > 6*(verified+1) {
		w.t.Errorf("%d requests for %d verifications of %d sessions", got, verified, sessions)
	}
	if diff := cmp.Diff(map[string]int{}, w.operator.calls.since(before)); diff != "" {
		w.t.Errorf("calls to the API server in a steady state (-want +got):\n%s", diff)
	}
}

// B49: a lifetime above the server's maximum is cut, and a condition says so.
func TestALongLifetimeIsCut(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.must(w.coder.SetRoles("ci-bot", "owner"))
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) { spec.Auth.Mint.Lifetime = "720h" }))
	w.eventually(w.ready("ci"), w.sessionIs("ci", v1alpha1.ConditionLifetimeCut, metav1.ConditionTrue, v1alpha1.ReasonServerMaximum, "168h"))
	token := w.nowSession("ci").Status.Token
	if got := token.ExpirationTime.Sub(token.IssueTime.Time).Round(time.Hour); got != 168*time.Hour {
		t.Errorf("the token lives %s", got)
	}
}

// B48: a username that now belongs to somebody else stops the session.
func TestANameThatChangedHandsStopsTheSession(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("500ms")), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"))
	w.must(w.coder.DeleteUser("ci-bot"))
	_, err := w.coder.CreateUser(coderd.UserOptions{Username: "ci-bot", Email: "other@example.test"})
	w.must(err)
	w.eventually(w.notReady("ci", v1alpha1.ReasonConfigInvalid, "another account"), w.liveTokens(0))
}

// What the spec asks for is what is minted; another wish replaces the token.
func TestAChangedWishIsMintedAnew(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		overlap := v1alpha1.Duration("1s")
		spec.Rotation = &v1alpha1.Rotation{Overlap: &overlap}
	}))
	w.eventually(w.ready("ci"))
	w.changeSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"}
		s.Spec.Auth.Mint.AllowList = []v1alpha1.AllowListEntry{"workspace:*"}
	})
	w.eventually(w.serial("ci", 2), w.ready("ci"), w.liveTokens(1))
	if diff := cmp.Diff([]string{"workspace:read"}, w.nowSession("ci").Status.Token.Scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
}

// A wish that the server refuses says so and is not repeated without end.
func TestAWishThatTheServerRefusesIsSaid(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		spec.Auth.Mint.Scopes = []v1alpha1.Scope{"debug_info:read"}
	}), w.mint("nobody", "nobody"))
	w.eventually(w.notReady("ci", v1alpha1.ReasonConfigInvalid, "debug_info:read"), w.notReady("nobody", v1alpha1.ReasonConfigInvalid, `"nobody"`))
	mints := w.mints()
	w.throughout(time.Second, func(context.Context) error {
		if got := w.mints(); got > mints+1 {
			return fmt.Errorf("a hot loop: %d posts", got)
		}
		return nil
	})
}

// B45: a token of this cluster that no session claims is revoked; other names, and
// another cluster's prefix, are never touched.
func TestOrphansAreRevokedAndOthersLeftAlone(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	names := map[string]string{
		"orphan": "cso-testing1-0badcafe-7", "another cluster's": "cso-elsewher-0badcafe-7", "a person's": "laptop",
	}
	values := map[string]string{}
	for what, name := range names {
		value, _, err := w.coder.CreateToken(coderd.TokenOptions{User: "ci-bot", Name: name})
		w.must(err)
		values[what] = value
	}
	w.create(w.deployment("prod", every("500ms")), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"), func(context.Context) error {
		if w.coder.AcceptsToken(values["orphan"]) {
			return fmt.Errorf("the orphan is still accepted")
		}
		return nil
	})
	for _, what := range []string{"another cluster's", "a person's"} {
		if !w.coder.AcceptsToken(values[what]) {
			t.Errorf("%s token was revoked", what)
		}
	}
	w.eventually(w.ready("ci"))
}

// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// ofTeam selects the namespaces of a team.
func ofTeam(team string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}
}

// wideRule allows everything to the namespaces of team a.
func wideRule() v1alpha1.AccessRule {
	return v1alpha1.AccessRule{
		Name:              "guests",
		NamespaceSelector: ofTeam("a"), Users: []string{"*"}, ShareClientCertificate: true,
		Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint, v1alpha1.AuthOAuth, v1alpha1.AuthToken, v1alpha1.AuthCertificate},
	}
}

// hosting starts an operator that reads the labels of namespaces, makes the deployment
// "prod" with access rules, and a namespace of team a for the guests.
func (w *world) hosting(rules ...v1alpha1.AccessRule) *world {
	w.t.Helper()
	w.startShard()
	prod := w.deployment("prod", withAccess(rules...))
	prod.Labels = w.shard()
	w.create(prod)
	return w.in(w.cluster.Namespace(w.t, map[string]string{"team": "a"}))
}

// invited is a guest that the world's operator sees.
func (w *world) invited(guests *world, name string, auth v1alpha1.Auth, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	s := w.guest(guests.namespace, name, auth, changes...)
	s.Labels = w.shard()
	return s
}

// changeAccess replaces the rules, and waits until they have settled.
func (w *world) changeAccess(rules ...v1alpha1.AccessRule) {
	w.t.Helper()
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = rules })
	w.eventually(func(ctx context.Context) error {
		d, err := w.getDeployment(ctx, "prod")
		if err == nil && d.Status.ObservedGeneration != d.Generation {
			err = fmt.Errorf("generation %d of the deployment is not observed", d.Generation)
		}
		return err
	})
}

func withKey(spec *v1alpha1.CoderSessionSpec) {
	spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
}

// B31, B32: in each of its dimensions, a rule that is narrowed takes away what it no
// longer allows, and nobody has to wait for the interval of an hour; widened again, it
// wakes whoever waits.
func TestANarrowedRuleTakesWhatItNoLongerAllows(t *testing.T) {
	mint := v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot", Lifetime: "12h"}}
	oauth := v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}
	certificate := v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}
	only := func(methods ...v1alpha1.AuthMethod) func(*v1alpha1.AccessRule) {
		return func(r *v1alpha1.AccessRule) { r.Auth = methods }
	}
	ceiling := func(r *v1alpha1.AccessRule) { r.Scopes = []v1alpha1.Scope{"workspace:*"} }
	noKeys := func(r *v1alpha1.AccessRule) { r.ShareClientCertificate = false }
	for name, tc := range map[string]struct {
		auth   v1alpha1.Auth
		change func(*v1alpha1.CoderSessionSpec)
		narrow func(*v1alpha1.AccessRule)
		says   string
	}{
		"users":                           {mint, nil, func(r *v1alpha1.AccessRule) { r.Users = []string{"deploy-*"} }, `user "ci-bot"`},
		"methods: minting":                {mint, nil, only(v1alpha1.AuthOAuth), "Mint is not among OAuth"},
		"methods: a person's grant":       {oauth, nil, only(v1alpha1.AuthMint), "OAuth is not among Mint"},
		"methods: a certificate":          {certificate, nil, only(v1alpha1.AuthMint), "Certificate is not among Mint"},
		"methods: a supplied token":       {supplied("mine"), nil, only(v1alpha1.AuthMint), "Token is not among Mint"},
		"scopes of a minted token":        {mint, nil, ceiling, "coder:all"},
		"scopes of a person's grant":      {oauth, nil, ceiling, "coder:all"},
		"the lifetime":                    {mint, nil, func(r *v1alpha1.AccessRule) { r.MaxLifetime = hours("8h") }, "8h"},
		"the private key":                 {certificate, withKey, noKeys, "includeClientCertificate"},
		"the private key besides a token": {mint, withKey, noKeys, "includeClientCertificate"},
		"the namespaces":                  {mint, nil, func(r *v1alpha1.AccessRule) { r.NamespaceSelector = ofTeam("b") }, "no access rule"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, certificateIdentifies, provider)
			guests := w.hosting(wideRule())
			if tc.auth.Token != nil {
				guests.writeSecret("mine", map[string]string{"token": w.userToken("ada")})
			}
			session := w.invited(guests, "ci", tc.auth)
			if tc.change != nil {
				tc.change(&session.Spec)
			}
			w.create(session)
			if tc.auth.OAuth != nil {
				w.eventually(guests.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
				guests.consents("ci", "ada")
			}
			w.eventually(guests.ready("ci"))
			rule := wideRule()
			tc.narrow(&rule)
			w.changeAccess(rule)
			w.eventually(guests.notReady("ci", v1alpha1.ReasonAccessDenied, tc.says), guests.noSecret("ci"), guests.noSecret("ci-oauth"),
				w.liveTokens(0), w.granted("ada", 0), w.ownApps(0))
			w.changeAccess(wideRule())
			if tc.auth.OAuth != nil {
				w.eventually(guests.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
				return
			}
			w.eventually(guests.ready("ci"))
		})
	}
}

func supplied(secretName v1alpha1.ObjectName) v1alpha1.Auth {
	return v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{Name: secretName}}}
}

func hours(text v1alpha1.Duration) *v1alpha1.Duration { return &text }

// B32: what another rule allows still is left alone: the Secret is not written, and
// nothing is minted or revoked.
func TestWhatAnotherRuleAllowsIsLeftAlone(t *testing.T) {
	w := newWorld(t, mTLS)
	narrow := wideRule()
	narrow.Name, narrow.Users = "narrow", []string{"ci-*"}
	guests := w.hosting(wideRule(), narrow)
	w.create(
		w.invited(guests, "kept", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}),
		w.invited(guests, "lost", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ada"}}),
	)
	w.eventually(guests.ready("kept"), guests.ready("lost"), w.liveTokens(2))
	before, mints := guests.nowSecret("kept"), w.mints()
	w.changeAccess(narrow)
	w.eventually(guests.notReady("lost", v1alpha1.ReasonAccessDenied, `user "ada"`), guests.ready("kept"), w.liveTokens(1))
	if diff := cmp.Diff(before.ResourceVersion, guests.nowSecret("kept").ResourceVersion); diff != "" || w.mints() != mints {
		t.Errorf("the Secret was written again, or something minted: %d times, %s", w.mints()-mints, diff)
	}
}

// B32: who is paused keeps nothing that no rule allows, and gets nothing while it
// stays paused.
func TestAPausedGuestKeepsNothing(t *testing.T) {
	w := newWorld(t, mTLS, provider)
	guests := w.hosting(wideRule())
	w.create(
		w.invited(guests, "minted", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}),
		w.invited(guests, "granted", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}),
	)
	w.eventually(guests.ready("minted"), guests.asks("granted", v1alpha1.ReasonAwaitingAuthorization))
	guests.consents("granted", "ada")
	w.eventually(guests.ready("granted"))
	names := []string{"minted", "granted"}
	for _, name := range names {
		guests.changeSession(name, func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	}
	w.eventually(guests.notReady("minted", v1alpha1.ReasonPaused, ""), guests.notReady("granted", v1alpha1.ReasonPaused, ""), w.liveTokens(1), w.granted("ada", 1))
	w.changeAccess()
	for _, name := range names {
		w.eventually(guests.notReady(name, v1alpha1.ReasonAccessDenied, ""), guests.noSecret(name))
	}
	w.eventually(w.liveTokens(0), w.granted("ada", 0), w.ownApps(0))
	w.changeAccess(wideRule())
	w.eventually(guests.notReady("minted", v1alpha1.ReasonPaused, ""), guests.notReady("granted", v1alpha1.ReasonPaused, ""), w.liveTokens(0))
	guests.changeSession("minted", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	w.eventually(guests.ready("minted"), w.liveTokens(1))
}

// B32: while the server cannot be asked, the Secret goes all the same, and the token
// as soon as the server is back.
func TestANarrowedRuleDoesNotWaitForTheServer(t *testing.T) {
	w := newWorld(t, mTLS)
	guests := w.hosting(wideRule())
	w.create(w.invited(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.eventually(guests.ready("ci"), w.liveTokens(1))
	w.listener.Stop()
	w.changeAccess()
	w.eventually(guests.notReady("ci", v1alpha1.ReasonAccessDenied, ""), guests.noSecret("ci"))
	if got := len(w.minted()); got != 1 {
		t.Fatalf("%d tokens live on a server that was not to be reached", got)
	}
	w.must(w.listener.Restart())
	w.eventually(w.liveTokens(0))
}

// doomed is a deployment that is deleted, and that a session keeps from going.
func (w *world) doomed() {
	w.t.Helper()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"))
	d, err := w.getDeployment(w.t.Context(), "prod")
	w.must(err)
	w.delete(d)
	w.eventually(w.terminates("prod", w.namespace+"/ci"))
}

func (w *world) terminates(name, fragment string) check {
	return w.deploymentIs(name, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTerminating, fragment)
}

func (w *world) noDeployment(name string) check {
	return func(ctx context.Context) error {
		_, err := w.getDeployment(ctx, name)
		return mustBeGone("deployment "+name, err)
	}
}

// A deleted deployment waits for its session. Its Secret and ConfigMap are deleted
// meanwhile: it says which, still names whom it waits for, and the session's token is
// revoked with what is known of the settings.
func TestADeletedDeploymentSaysWhatIsMissing(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.doomed()
	w.delete(w.nowSecret("token"))
	w.delete(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ca"}})
	missing := func(name string) check {
		return w.deploymentIs("prod", v1alpha1.ConditionConfigResolved, metav1.ConditionFalse, v1alpha1.ReasonReferenceMissing, name)
	}
	w.eventually(missing("/token"), missing("/ca"), w.terminates("prod", w.namespace+"/ci"), w.ready("ci"))
	w.delete(w.nowSession("ci"))
	w.eventually(w.noSession("ci"), w.noDeployment("prod"), w.liveTokens(0))
}

// The same with an operator that has never seen what is missing: written again in
// time, it lets the token be revoked; else a warning names the token.
func TestARestartedOperatorNeedsWhatRevocationNeeds(t *testing.T) {
	for name, again := range map[string]bool{"written again": true, "gone for good": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, mTLS)
			w.startOperator()
			w.doomed()
			token := w.nowSecret("token")
			id := w.nowSession("ci").Status.Token.ID
			w.operator.stop()
			w.delete(token)
			w.startOperator()
			w.eventually(w.deploymentIs("prod", v1alpha1.ConditionConfigResolved, metav1.ConditionFalse, v1alpha1.ReasonReferenceMissing, "/token"),
				w.terminates("prod", w.namespace+"/ci"))
			w.delete(w.nowSession("ci"))
			if !again {
				w.eventually(w.noSession("ci"), w.noDeployment("prod"), w.event(corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, id))
				return
			}
			w.writeSecret("token", map[string]string{"token": string(token.Data["token"])})
			w.eventually(w.noSession("ci"), w.noDeployment("prod"), w.liveTokens(0))
		})
	}
}

// B31: rules that are narrowed and widened again before they have settled leave nobody
// behind whom a pass in between has denied.
func TestRulesThatComeBackWhileTheySettleLeaveNobodyBehind(t *testing.T) {
	w := newWorld(t, mTLS)
	guests := w.hosting(wideRule())
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Verify.QuietPeriod, d.Spec.Verify.MaxDelay = "5s", "30s" })
	w.create(w.invited(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.eventually(guests.ready("ci"))
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = nil })
	// Any event will do.
	guests.changeSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Secret = &v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"team": "a"}}
	})
	w.eventually(guests.notReady("ci", v1alpha1.ReasonAccessDenied, ""))
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = []v1alpha1.AccessRule{wideRule()} })
	w.eventually(guests.ready("ci"), w.liveTokens(1))
}

// B32: a grant that was given before the ceiling ends with it, too, where what the
// session asks for by now is within the ceiling: the token that is published is not.
func TestAGrantAboveTheCeilingEnds(t *testing.T) {
	w := newWorld(t, mTLS, provider)
	guests := w.hosting(wideRule())
	w.create(w.invited(guests, "ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}))
	w.eventually(guests.asks("ci", v1alpha1.ReasonAwaitingAuthorization))
	guests.consents("ci", "ada")
	w.eventually(guests.ready("ci"))
	wide := string(guests.nowSecret("ci").Data["session"])
	guests.changeSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Auth.OAuth.Scopes = []v1alpha1.Scope{"workspace:read", "user:read_personal"}
	})
	w.eventually(guests.ready("ci"))
	rule := wideRule()
	rule.Scopes = []v1alpha1.Scope{"workspace:*", "user:*"}
	w.changeAccess(rule)
	w.eventually(guests.asks("ci", v1alpha1.ReasonReauthenticationRequired), func(context.Context) error {
		if w.coder.AcceptsToken(wide) {
			return errors.New("the server still accepts the token of the wide grant")
		}
		return nil
	})
	guests.consents("ci", "ada")
	w.eventually(guests.ready("ci"))
}

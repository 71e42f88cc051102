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
	"github.com/coder-session-operator/coder-session-operator/test/wait"
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

// startHosting starts an operator that reads the labels of namespaces, makes the deployment
// "prod" with access rules, and a namespace of team a for the guests.
func (w *operatorEnv) startHosting(rules ...v1alpha1.AccessRule) *operatorEnv {
	w.T.Helper()
	w.startShard()
	prod := w.newDeployment("prod", withAccess(rules...))
	prod.Labels = w.shardLabels()
	w.Create(prod)
	return w.inNamespace(w.Cluster.Namespace(w.T, map[string]string{"team": "a"}))
}

// createGuest is a guest that the test's operator sees.
func (w *operatorEnv) createGuest(
	guests *operatorEnv, name string, auth v1alpha1.Auth, changes ...func(*v1alpha1.CoderSessionSpec),
) *v1alpha1.CoderSession {
	s := w.newGuestSession(guests.Namespace, name, auth, changes...)
	s.Labels = w.shardLabels()
	return s
}

// changeAccess replaces the rules, and waits until they have settled.
func (w *operatorEnv) changeAccess(rules ...v1alpha1.AccessRule) {
	w.T.Helper()
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = rules })
	w.Eventually(func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, "prod")
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
// longer allows, without a wait for the interval of an hour; widened again, it
// reconciles the sessions that wait.
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
		"users": {mint, nil, func(r *v1alpha1.AccessRule) { r.Users = []string{"deploy-*"} },
			`user "ci-bot"`},
		"methods: minting":           {mint, nil, only(v1alpha1.AuthOAuth), "auth method Mint is not allowed"},
		"methods: a person's grant":  {oauth, nil, only(v1alpha1.AuthMint), "auth method OAuth is not allowed"},
		"methods: a certificate":     {certificate, nil, only(v1alpha1.AuthMint), "auth method Certificate is not allowed"},
		"methods: a supplied token":  {suppliedBy("mine"), nil, only(v1alpha1.AuthMint), "auth method Token is not allowed"},
		"scopes of a minted token":   {mint, nil, ceiling, "coder:all"},
		"scopes of a person's grant": {oauth, nil, ceiling, "coder:all"},
		"the lifetime": {mint, nil, func(r *v1alpha1.AccessRule) { r.MaxLifetime = durationOf("8h") },
			"8h"},
		"the private key":                 {certificate, withKey, noKeys, "includeClientCertificate"},
		"the private key besides a token": {mint, withKey, noKeys, "includeClientCertificate"},
		"the namespaces": {mint, nil, func(r *v1alpha1.AccessRule) { r.NamespaceSelector = ofTeam("b") },
			"no access rule"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, certificateIdentifies, withOAuthProvider)
			guests := w.startHosting(wideRule())
			if tc.auth.Token != nil {
				guests.WriteSecret("mine", map[string]string{"token": w.userToken("ada")})
			}
			session := w.createGuest(guests, "ci", tc.auth)
			if tc.change != nil {
				tc.change(&session.Spec)
			}
			w.Create(session)
			if tc.auth.OAuth != nil {
				w.Eventually(guests.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
				guests.giveConsent("ci", "ada")
			}
			w.Eventually(guests.IsReady("ci"))
			rule := wideRule()
			tc.narrow(&rule)
			w.changeAccess(rule)
			w.Eventually(guests.IsNotReady("ci", v1alpha1.ReasonAccessDenied, tc.says), guests.noSecret("ci"),
				guests.noSecret("ci-oauth"),
				w.hasLiveTokens(0), w.hasGrants("ada", 0), w.ownApps(0))
			w.changeAccess(wideRule())
			if tc.auth.OAuth != nil {
				w.Eventually(guests.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
				return
			}
			w.Eventually(guests.IsReady("ci"))
		})
	}
}

func suppliedBy(secretName v1alpha1.ObjectName) v1alpha1.Auth {
	return v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{Name: secretName}}}
}

func durationOf(text v1alpha1.Duration) *v1alpha1.Duration { return &text }

// B32: what another rule allows still is left alone: the Secret is not written, and
// nothing is minted or revoked.
func TestWhatAnotherRuleAllowsIsLeftAlone(t *testing.T) {
	w := newEnv(t, withMTLS)
	narrow := wideRule()
	narrow.Name, narrow.Users = "narrow", []string{"ci-*"}
	guests := w.startHosting(wideRule(), narrow)
	w.Create(
		w.createGuest(guests, "kept", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}),
		w.createGuest(guests, "lost", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ada"}}),
	)
	w.Eventually(guests.IsReady("kept"), guests.IsReady("lost"), w.hasLiveTokens(2))
	before, mints := guests.CurrentSecret("kept"), w.CountMints()
	w.changeAccess(narrow)
	w.Eventually(guests.IsNotReady("lost", v1alpha1.ReasonAccessDenied, `user "ada"`), guests.IsReady("kept"),
		w.hasLiveTokens(1))
	if diff := cmp.Diff(before.ResourceVersion, guests.CurrentSecret("kept").ResourceVersion); diff != "" ||
		w.CountMints() != mints {
		t.Errorf("the Secret was written again, or something minted: %d times, %s", w.CountMints()-mints, diff)
	}
}

// B32: who is paused keeps nothing that no rule allows, and gets nothing while it
// stays paused.
func TestAPausedGuestKeepsNothing(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	guests := w.startHosting(wideRule())
	w.Create(
		w.createGuest(guests, "minted", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}),
		w.createGuest(guests, "granted", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}),
	)
	w.Eventually(guests.IsReady("minted"), guests.asksForConsent("granted", v1alpha1.ReasonAwaitingAuthorization))
	guests.giveConsent("granted", "ada")
	w.Eventually(guests.IsReady("granted"))
	names := []string{"minted", "granted"}
	for _, name := range names {
		guests.EditSession(name, func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	}
	w.Eventually(guests.IsNotReady("minted", v1alpha1.ReasonPaused, ""),
		guests.IsNotReady("granted", v1alpha1.ReasonPaused, ""), w.hasLiveTokens(1), w.hasGrants("ada", 1))
	w.changeAccess()
	for _, name := range names {
		w.Eventually(guests.IsNotReady(name, v1alpha1.ReasonAccessDenied, ""), guests.noSecret(name))
	}
	w.Eventually(w.hasLiveTokens(0), w.hasGrants("ada", 0), w.ownApps(0))
	w.changeAccess(wideRule())
	w.Eventually(guests.IsNotReady("minted", v1alpha1.ReasonPaused, ""),
		guests.IsNotReady("granted", v1alpha1.ReasonPaused, ""), w.hasLiveTokens(0))
	guests.EditSession("minted", func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	w.Eventually(guests.IsReady("minted"), w.hasLiveTokens(1))
}

// B32: while the server cannot be asked, the Secret goes all the same, and the token
// as soon as the server is back.
func TestANarrowedRuleDoesNotWaitForTheServer(t *testing.T) {
	w := newEnv(t, withMTLS)
	guests := w.startHosting(wideRule())
	w.Create(w.createGuest(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.Eventually(guests.IsReady("ci"), w.hasLiveTokens(1))
	w.listener.Stop()
	w.changeAccess()
	w.Eventually(guests.IsNotReady("ci", v1alpha1.ReasonAccessDenied, ""), guests.noSecret("ci"))
	if got := len(w.mintedTokens()); got != 1 {
		t.Fatalf("%d tokens live on a server that was not to be reached", got)
	}
	w.Must(w.listener.Restart())
	w.Eventually(w.hasLiveTokens(0))
}

// createDeletedDeployment is a deployment that is deleted, and that a session keeps from going.
func (w *operatorEnv) createDeletedDeployment() {
	w.T.Helper()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	d, err := w.GetDeployment(w.T.Context(), "prod")
	w.Must(err)
	w.Delete(d)
	w.Eventually(w.isTerminating("prod", w.Namespace+"/ci"))
}

func (w *operatorEnv) isTerminating(name, fragment string) wait.Check {
	return w.DeploymentIs(name, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTerminating, fragment)
}

func (w *operatorEnv) noDeployment(name string) wait.Check {
	return func(ctx context.Context) error {
		_, err := w.GetDeployment(ctx, name)
		return mustBeGone("deployment "+name, err)
	}
}

// A deleted deployment waits for its session. Its Secret and ConfigMap are deleted
// meanwhile: it says which, still names whom it waits for, and the session's token is
// revoked with what is known of the settings.
func TestADeletedDeploymentSaysWhatIsMissing(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.createDeletedDeployment()
	w.Delete(w.CurrentSecret("token"))
	w.Delete(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "ca"}})
	missing := func(name string) wait.Check {
		return w.DeploymentIs("prod", v1alpha1.ConditionConfigResolved, metav1.ConditionFalse,
			v1alpha1.ReasonReferenceMissing, name)
	}
	w.Eventually(missing("/token"), missing("/ca"), w.isTerminating("prod", w.Namespace+"/ci"), w.IsReady("ci"))
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.noSession("ci"), w.noDeployment("prod"), w.hasLiveTokens(0))
}

// The same with an operator that has never seen what is missing: written again in
// time, it lets the token be revoked; else a warning names the token.
func TestARestartedOperatorNeedsWhatRevocationNeeds(t *testing.T) {
	for name, again := range map[string]bool{"written again": true, "gone for good": false} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			w.startOperator()
			w.createDeletedDeployment()
			token := w.CurrentSecret("token")
			id := w.CurrentSession("ci").Status.Token.ID
			w.stopOperator()
			w.Delete(token)
			w.startOperator()
			w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionConfigResolved, metav1.ConditionFalse,
				v1alpha1.ReasonReferenceMissing, "/token"),
				w.isTerminating("prod", w.Namespace+"/ci"))
			w.Delete(w.CurrentSession("ci"))
			if !again {
				w.Eventually(w.noSession("ci"), w.noDeployment("prod"),
					w.hasEvent(corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, id))
				return
			}
			w.WriteSecret("token", map[string]string{"token": string(token.Data["token"])})
			w.Eventually(w.noSession("ci"), w.noDeployment("prod"), w.hasLiveTokens(0))
		})
	}
}

// B31: rules that are narrowed and widened again before they have settled leave no session
// behind whom a pass in between has denied.
func TestRulesThatComeBackWhileTheySettleLeaveNoSessionBehind(t *testing.T) {
	w := newEnv(t, withMTLS)
	guests := w.startHosting(wideRule())
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
		d.Spec.Verify.QuietPeriod,
			d.Spec.Verify.MaxDelay = "5s", "30s"
	})
	w.Create(w.createGuest(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.Eventually(guests.IsReady("ci"))
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = nil })
	// Any event will do.
	guests.EditSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Secret = &v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"team": "a"}}
	})
	w.Eventually(guests.IsNotReady("ci", v1alpha1.ReasonAccessDenied, ""))
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = []v1alpha1.AccessRule{wideRule()} })
	w.Eventually(guests.IsReady("ci"), w.hasLiveTokens(1))
}

// B32: a grant that was given before the ceiling ends with it, too, where what the
// session asks for by now is within the ceiling: the token that is published is not.
func TestAGrantAboveTheCeilingEnds(t *testing.T) {
	w := newEnv(t, withMTLS, withOAuthProvider)
	guests := w.startHosting(wideRule())
	w.Create(w.createGuest(guests, "ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}))
	w.Eventually(guests.asksForConsent("ci", v1alpha1.ReasonAwaitingAuthorization))
	guests.giveConsent("ci", "ada")
	w.Eventually(guests.IsReady("ci"))
	wide := string(guests.CurrentSecret("ci").Data["session"])
	guests.EditSession("ci", func(s *v1alpha1.CoderSession) {
		s.Spec.Auth.OAuth.Scopes = []v1alpha1.Scope{"workspace:read", "user:read"}
	})
	w.Eventually(guests.IsReady("ci"))
	rule := wideRule()
	rule.Scopes = []v1alpha1.Scope{"workspace:*", "user:*"}
	w.changeAccess(rule)
	w.Eventually(guests.asksForConsent("ci", v1alpha1.ReasonReauthenticationRequired), func(context.Context) error {
		if w.Coder.AcceptsToken(wide) {
			return errors.New("the server still accepts the token of the wide grant")
		}
		return nil
	})
	guests.giveConsent("ci", "ada")
	w.Eventually(guests.IsReady("ci"))
}

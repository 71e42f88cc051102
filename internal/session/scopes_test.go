// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// withScopes asks for scopes, and an allow-list, of a minted token.
func withScopes(allowList []v1alpha1.AllowListEntry, scopes ...v1alpha1.Scope) option {
	return func(o *Observation) {
		mint := o.Session.Spec.Auth.Mint
		mint.Scopes, mint.AllowList = scopes, allowList
		o.SpecDigest = SpecDigest(mint, "")
		if o.Secret.Token != nil {
			o.Secret.Token.SpecDigest = o.SpecDigest
		}
	}
}

// withListedScopes sets what the server's token list says of the published token.
func withListedScopes(allowList []string, scopes ...string) option {
	return func(o *Observation) { o.ServerTokens.Token.Scopes, o.ServerTokens.Token.AllowList = scopes, allowList }
}

// withSpecDigest makes the published token one that was minted for the spec.
func withSpecDigest() option {
	return func(o *Observation) { o.Secret.Token.SpecDigest = SpecDigest(o.Session.Spec.Auth.Mint, "") }
}

// B137: what the token may do is compared with what was asked for, and more is said.
func TestScopesGranted(t *testing.T) {
	t.Parallel()
	oneWorkspace := []v1alpha1.AllowListEntry{"workspace:6f0e6f6e-0000-4000-8000-000000000001"}
	minted := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("ci-bot"), withPublishedToken("t1", 1, time.Hour)}, options...)...)
	}
	consented := func(options ...option) Observation {
		return newSession("ci", append([]option{withOAuth(), publishedGrant(time.Hour)}, options...)...)
	}
	wanting := func(scopes ...string) option { return withGrant(func(g *Grant) { g.WantedScopes = scopes }) }
	named := func(scopes ...string) option { return withGrant(func(g *Grant) { g.Scopes = scopes }) }
	ofKey := func(scopes ...string) option { return func(o *Observation) { o.CredentialCheck.Scopes = scopes } }
	legacy := withDeployment(func(d *Deployment) { d.IgnoresOAuthScopes = true })
	for name, tc := range map[string]struct {
		o     Observation
		want  metav1.ConditionStatus // "": no condition
		part  string                 // of the message
		token []string               // scopes in status
	}{
		"nothing was asked for": {o: minted(withListedScopes([]string{"*:*"}, "coder:all")), token: []string{"coder:all"}},
		"as asked": {o: minted(withScopes(nil, "workspace:read"), withListedScopes([]string{"*:*"}, "workspace:read")),
			want: metav1.ConditionTrue, token: []string{"workspace:read"}},
		"within a wildcard": {o: minted(withScopes(nil, "workspace:*"), withListedScopes(nil, "workspace:read")),
			want: metav1.ConditionTrue, token: []string{"workspace:read"}},
		"the parts of a composite": {
			o:    minted(withScopes(nil, "coder:workspaces.access"), withListedScopes(nil, "workspace:read", "workspace:ssh")),
			want: metav1.ConditionTrue, token: []string{"workspace:read", "workspace:ssh"}},
		"a server that ignores scopes": {
			o:    minted(withScopes(nil, "workspace:read"), withListedScopes([]string{"*:*"}, "coder:all")),
			want: metav1.ConditionFalse, part: "scopes coder:all, more than workspace:read", token: []string{"coder:all"}},
		"another scope": {o: minted(withScopes(nil, "workspace:read"), withListedScopes(nil, "workspace:read", "user:read")),
			want: metav1.ConditionFalse, part: "user:read", token: []string{"workspace:read", "user:read"}},
		"a server that ignores the allow-list": {
			o:    minted(withScopes(oneWorkspace), withListedScopes([]string{"*:*"}, "coder:all")),
			want: metav1.ConditionFalse, part: "allow-list *:*", token: []string{"coder:all"}},
		"another entry of the allow-list": {
			o: minted(withScopes(oneWorkspace),
				withListedScopes([]string{string(oneWorkspace[0]), "template:*"}, "coder:all")),
			want: metav1.ConditionFalse, part: "template:*", token: []string{"coder:all"}},
		"all of a kind instead of one": {
			o:    minted(withScopes(oneWorkspace), withListedScopes([]string{"workspace:*"}, "coder:all")),
			want: metav1.ConditionFalse, part: "allow-list workspace:*", token: []string{"coder:all"}},
		"one of a kind instead of all": {
			o: minted(withScopes([]v1alpha1.AllowListEntry{"workspace:*"}),
				withListedScopes([]string{string(oneWorkspace[0])}, "coder:all")),
			want: metav1.ConditionTrue, token: []string{"coder:all"}},
		"a longer life than was asked for": {
			o:    minted(withLifetime("1h"), withSpecDigest(), withListedScopes(nil, "coder:all")),
			want: metav1.ConditionFalse, part: "lives for 24h0m0s, longer than auth.mint.lifetime (1h0m0s)",
			token: []string{"coder:all"}},
		"an allow-list as asked": {
			o:    minted(withScopes(oneWorkspace), withListedScopes([]string{string(oneWorkspace[0])}, "coder:all")),
			want: metav1.ConditionTrue, token: []string{"coder:all"}},
		"a grant as the server named it": {o: consented(wanting("user:read"), named("user:read")),
			want: metav1.ConditionTrue, token: []string{"user:read"}},
		"a grant of a server that says nothing": {o: consented(wanting("user:read")), want: metav1.ConditionTrue},
		"a grant before 2.38": {o: consented(wanting("user:read"), legacy), want: metav1.ConditionFalse,
			part: "before 2.38 ignores scopes"},
		"a grant before 2.38 whose key is known": {
			o: consented(wanting("user:read"), legacy, ofKey("coder:all")), want: metav1.ConditionFalse,
			part: "scopes coder:all, more than user:read", token: []string{"coder:all"}},
		"a grant of 2.37, with scopes": {o: consented(wanting("user:read"), legacy, named("user:read")),
			want: metav1.ConditionTrue, token: []string{"user:read"}},
		"a grant without scopes": {o: consented(legacy)},
		"no grant yet":           {o: newSession("ci", withOAuth(), wanting("user:read"), legacy, withConsentRequest(0))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var status v1alpha1.CoderSessionStatus
			Decide(tc.o).Apply(&status, 1, noon)
			got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionScopesGranted)
			switch {
			case tc.want == "" && got != nil, tc.want != "" && got == nil:
				t.Fatalf("got %+v", got)
			case got != nil && (got.Status != tc.want || !strings.Contains(got.Message, tc.part)):
				t.Errorf("got %+v", got)
			case got != nil && got.Status == metav1.ConditionFalse && got.Reason != v1alpha1.ReasonServerIgnoresScopes:
				t.Errorf("the reason is %s", got.Reason)
			}
			var scopes []string
			if status.Token != nil {
				scopes = status.Token.Scopes
			}
			if strings.Join(scopes, " ") != strings.Join(tc.token, " ") {
				t.Errorf("status has the scopes %v, want %v", scopes, tc.token)
			}
			if want := tc.o.hasLiveCredential(); meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) != want {
				t.Errorf("Ready: %+v", status.Conditions)
			}
		})
	}
}

// The condition ends with the credential, and stays as it is while nothing is known.
func TestScopesGrantedOfOtherSessions(t *testing.T) {
	t.Parallel()
	status := v1alpha1.CoderSessionStatus{Conditions: []metav1.Condition{{
		Type: v1alpha1.ConditionScopesGranted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonServerIgnoresScopes,
	}}}
	unknown := newSession("ci", withMint("ci-bot"), withPublishedToken("t1", 1, time.Hour),
		withScopes(nil, "workspace:read"))
	unknown.ServerTokens = ServerTokens{}
	kept := status.DeepCopy()
	Decide(unknown).Apply(kept, 1, noon)
	if meta.FindStatusCondition(kept.Conditions, v1alpha1.ConditionScopesGranted) == nil {
		t.Error("it is gone although nothing is known")
	}
	denied := newSession("ci", withMint("ci-bot"), withScopes(nil, "workspace:read"),
		withDeployment(func(d *Deployment) { d.Denied = "no rule" }))
	Decide(denied).Apply(&status, 1, noon)
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionScopesGranted); c != nil {
		t.Errorf("a session without a credential has %+v", c)
	}
}

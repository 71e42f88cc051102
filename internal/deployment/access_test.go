// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/declared"
)

// B31
func TestDenialReason(t *testing.T) {
	t.Parallel()
	teamA := metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}
	byName := metav1.LabelSelector{MatchLabels: map[string]string{nameLabel: "builds"}}
	everywhere := metav1.LabelSelector{}
	rule := func(selector metav1.LabelSelector, change func(*v1alpha1.AccessRule)) v1alpha1.AccessRule {
		r := v1alpha1.AccessRule{
			NamespaceSelector: selector, Users: []string{"ci-*"},
			Auth: []v1alpha1.AuthMethod{
				v1alpha1.AuthMint, v1alpha1.AuthToken, v1alpha1.AuthCertificate, v1alpha1.AuthOAuth,
			},
		}
		if change != nil {
			change(&r)
		}
		return r
	}
	duration := func(d v1alpha1.Duration) func(*v1alpha1.AccessRule) {
		return func(r *v1alpha1.AccessRule) { r.MaxLifetime = &d }
	}
	ceiling := func(scopes ...v1alpha1.Scope) func(*v1alpha1.AccessRule) {
		return func(r *v1alpha1.AccessRule) { r.Scopes = scopes }
	}
	mint := func(user string, scopes ...v1alpha1.Scope) v1alpha1.CoderSessionSpec {
		return v1alpha1.CoderSessionSpec{
			Auth: v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user, Lifetime: "24h", Scopes: scopes}},
		}
	}
	unset := mint("ci-bot")
	unset.Auth.Mint.Lifetime = ""
	certificate := v1alpha1.CoderSessionSpec{Auth: v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}}
	withKey := *certificate.DeepCopy()
	withKey.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
	oauth := v1alpha1.CoderSessionSpec{Auth: v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}}
	labelled := Namespace{Name: "builds", Labels: map[string]string{"team": "a"}, LabelsKnown: true}
	nameOnly := Namespace{Name: "builds"}
	for name, tc := range map[string]struct {
		rules []v1alpha1.AccessRule
		spec  v1alpha1.CoderSessionSpec
		ns    Namespace
		want  string // part of the refusal; empty: allowed
	}{
		"its own namespace needs no rule": {nil, mint("anybody"), Namespace{Name: "coder"}, ""},
		"no rule": {
			nil, mint("ci-bot"), labelled, `no access rule selects namespace "builds"; have a`,
		},
		"a rule that allows it":         {[]v1alpha1.AccessRule{rule(teamA, nil)}, mint("ci-bot"), labelled, ""},
		"an empty selector selects all": {[]v1alpha1.AccessRule{rule(everywhere, nil)}, mint("ci-bot"), labelled, ""},
		"another team's": {
			[]v1alpha1.AccessRule{rule(teamA, nil)}, mint("ci-bot"), Namespace{Name: "builds", LabelsKnown: true},
			"no access rule selects",
		},
		"another user": {
			[]v1alpha1.AccessRule{rule(teamA, nil)}, mint("root"), labelled,
			`tokens for user "root" are not allowed; ask for less`,
		},
		"no user is allowed": {
			[]v1alpha1.AccessRule{rule(teamA, func(r *v1alpha1.AccessRule) { r.Users = nil })}, mint("ci-bot"),
			labelled, "are not allowed",
		},
		"an invalid glob allows no user": {
			[]v1alpha1.AccessRule{rule(teamA, func(r *v1alpha1.AccessRule) { r.Users = []string{"["} })},
			mint("ci-bot"), labelled, "are not allowed",
		},
		"a question mark is one character": {
			[]v1alpha1.AccessRule{rule(teamA, func(r *v1alpha1.AccessRule) { r.Users = []string{"ci-?"} })},
			mint("ci-bot"), labelled, "are not allowed",
		},
		"another method": {
			[]v1alpha1.AccessRule{rule(teamA, func(r *v1alpha1.AccessRule) { r.Auth = r.Auth[:1] })}, certificate,
			labelled, "auth method Certificate is not allowed",
		},
		"users do not matter to other methods": {
			[]v1alpha1.AccessRule{rule(teamA, func(r *v1alpha1.AccessRule) { r.Users = nil })}, certificate, labelled,
			"",
		},
		"the private key is not shared": {
			[]v1alpha1.AccessRule{rule(teamA, nil)}, withKey, labelled, "the client certificate is not shared",
		},
		"the private key is shared": {
			[]v1alpha1.AccessRule{rule(teamA, func(r *v1alpha1.AccessRule) { r.ShareClientCertificate = true })},
			withKey, labelled, "",
		},
		"as long as allowed": {[]v1alpha1.AccessRule{rule(teamA, duration("24h"))}, mint("ci-bot"), labelled, ""},
		"longer than allowed": {
			[]v1alpha1.AccessRule{rule(teamA, duration("8h"))}, mint("ci-bot"), labelled, "exceeds the allowed 8h",
		},
		"no lifetime is the default": {
			[]v1alpha1.AccessRule{rule(teamA, duration("8h"))}, unset, labelled, "lifetime 24h0m0s exceeds",
		},
		"a bound that cannot be read allows none": {
			[]v1alpha1.AccessRule{rule(teamA, duration("7d"))}, mint("ci-bot"), labelled, "exceeds the allowed 7d",
		},
		"a scope within the ceiling": {
			[]v1alpha1.AccessRule{rule(teamA, ceiling("workspace:*"))}, mint("ci-bot", "workspace:read"), labelled, "",
		},
		"a scope above the ceiling": {
			[]v1alpha1.AccessRule{rule(teamA, ceiling("workspace:*"))}, mint("ci-bot", "workspace:read", "user:read"),
			labelled, "scope user:read is not covered by workspace:*",
		},
		"no scopes are all scopes": {
			[]v1alpha1.AccessRule{rule(teamA, ceiling("workspace:*"))}, mint("ci-bot"), labelled,
			"scope coder:all is not covered",
		},
		"oauth with no scopes, too": {
			[]v1alpha1.AccessRule{rule(teamA, ceiling("workspace:*"))}, oauth, labelled,
			"scope coder:all is not covered",
		},
		"no ceiling": {[]v1alpha1.AccessRule{rule(teamA, nil)}, mint("ci-bot", "user:read"), labelled, ""},
		"one rule must allow all": {
			[]v1alpha1.AccessRule{
				rule(teamA, ceiling("workspace:*")),
				rule(teamA, func(r *v1alpha1.AccessRule) { r.Users = []string{"x"} }),
			},
			mint("ci-bot"), labelled, `tokens for user "ci-bot" are not allowed`,
		},
		"any rule may": {
			[]v1alpha1.AccessRule{rule(teamA, ceiling("workspace:*")), rule(everywhere, nil)}, mint("ci-bot"), labelled,
			"",
		},
		// B92
		"labels that cannot be read": {
			[]v1alpha1.AccessRule{rule(teamA, nil)}, mint("ci-bot"), nameOnly, "--watch-namespaces",
		},
		"by name, without labels": {[]v1alpha1.AccessRule{rule(byName, nil)}, mint("ci-bot"), nameOnly, ""},
		"another name, without labels": {
			[]v1alpha1.AccessRule{rule(byName, nil)}, mint("ci-bot"), Namespace{Name: "other"},
			"no access rule selects",
		},
		"everywhere, without labels": {[]v1alpha1.AccessRule{rule(everywhere, nil)}, mint("ci-bot"), nameOnly, ""},
		"the absence of a label cannot be read either": {
			[]v1alpha1.AccessRule{
				rule(
					metav1.LabelSelector{
						MatchExpressions: []metav1.LabelSelectorRequirement{
							{Key: "team", Operator: metav1.LabelSelectorOpDoesNotExist},
						},
					},
					nil,
				),
			},
			mint("ci-bot"), nameOnly, "--watch-namespaces",
		},
		"a selector that is not valid selects nothing": {
			[]v1alpha1.AccessRule{
				rule(
					metav1.LabelSelector{
						MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Near"}},
					},
					nil,
				),
			},
			mint("ci-bot"), labelled, "a namespaceSelector that is not valid",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &v1alpha1.CoderDeployment{
				ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod"},
				Spec:       v1alpha1.CoderDeploymentSpec{Access: tc.rules},
			}
			s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: tc.ns.Name, Name: "ci"}, Spec: tc.spec}
			got := DenialReason(d, s, tc.ns, Server{})
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("DenialReason = %q, want %q in it", got, tc.want)
			}
		})
	}
}

// B31: globs know * and ? only, and compare without case, as Coder does with usernames.
func TestGlobsOfUsers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		glob, user string
		want       bool
	}{
		{"ci-bot", "ci-bot", true},
		{"ci-bot", "CI-Bot", true},
		{"CI-*", "ci-bot", true},
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"?", "", false},
		{"?", "a", true},
		{"?", "ab", false},
		{"a*", "a", true},
		{"*a", "ba", true},
		{"*a", "ab", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"a**b", "ab", true},
		{"*-?", "deploy-1", true},
		{"*-?", "deploy-12", false},
		{"[^a]*", "root", false},
		{"[a-z]*", "root", false},
		{"r\\oot", "root", false},
		{"ci.*", "ci-bot", false},
		{strings.Repeat("*a", 32) + "b", strings.Repeat("a", 32), false},
	} {
		if got := matchesUser([]string{tc.glob}, tc.user); got != tc.want {
			t.Errorf("glob %q, user %q: %t", tc.glob, tc.user, got)
		}
	}
}

// B31: a refusal tells nothing of rules for other namespaces, and not which users a rule names.
func TestARefusalTellsNothingOfOthers(t *testing.T) {
	t.Parallel()
	rule := func(name, team string) v1alpha1.AccessRule {
		return v1alpha1.AccessRule{
			Name: name, Users: []string{name + "-user"}, WorkspaceOwners: []string{name + "-owner"},
			Auth:              []v1alpha1.AuthMethod{v1alpha1.AuthMint},
			NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"team": team}},
		}
	}
	broken := rule("hidden", "hidden")
	broken.NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "hidden", Operator: "Hidden"}}
	d := &v1alpha1.CoderDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod"}}
	d.Spec.Access = []v1alpha1.AccessRule{rule("hidden", "hidden"), rule("hidden", "a"), broken}
	for name, ns := range map[string]Namespace{
		"of the team":      {Name: "builds", Labels: map[string]string{"team": "a"}, LabelsKnown: true},
		"of no team":       {Name: "builds", LabelsKnown: true},
		"of unknown teams": {Name: "builds"},
	} {
		for _, user := range []string{"root", "hidden-user"} {
			s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci"}}
			s.Spec.Auth.Mint = &v1alpha1.MintAuth{User: user}
			s.Spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ada", Name: "dev"}
			why := DenialReason(d, s, ns, Server{})
			if why == "" || strings.Contains(strings.ReplaceAll(why, user, ""), "hidden") {
				t.Errorf("a namespace %s is told %q", name, why)
			}
		}
	}
}

// B139: a session tells the state of a workspace only if its owner is the session's user, or a rule names
// them.
func TestWorkspaceOwners(t *testing.T) {
	t.Parallel()
	const denied, ownOnly, allowed = "denied", "own only", "allowed"
	mint := v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}
	oauth := v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}
	supplied := v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{}}
	for name, tc := range map[string]struct {
		auth   v1alpha1.Auth
		owner  string
		owners []string
		home   bool
		want   string
	}{
		"a minted token's user":                        {auth: mint, owner: "CI-Bot", want: allowed},
		"another user":                                 {auth: mint, owner: "ada", want: denied},
		"another user, whom the rule names":            {auth: mint, owner: "ada", owners: []string{"A*"}, want: allowed},
		"another user than the rule names":             {auth: mint, owner: "ada", owners: []string{"b*"}, want: denied},
		"a person, who is not known yet":               {auth: oauth, owner: "ada", want: ownOnly},
		"a person, whom the rule names":                {auth: oauth, owner: "ada", owners: []string{"ada"}, want: allowed},
		"the user of a supplied token":                 {auth: supplied, owner: "ada", want: ownOnly},
		"the deployment's own namespace needs no rule": {auth: mint, owner: "ada", home: true, want: allowed},
		"nor does a person there":                      {auth: oauth, owner: "ada", home: true, want: allowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &v1alpha1.CoderDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod"}}
			d.Spec.Access = []v1alpha1.AccessRule{{
				Auth:  []v1alpha1.AuthMethod{v1alpha1.AuthMint, v1alpha1.AuthOAuth, v1alpha1.AuthToken},
				Users: []string{"ci-*"}, WorkspaceOwners: tc.owners,
			}}
			s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci"}}
			if tc.home {
				s.Namespace = "coder"
			}
			s.Spec.Auth, s.Spec.Workspace = tc.auth, &v1alpha1.WorkspaceRef{Owner: tc.owner, Name: "dev"}
			ns := Namespace{Name: s.Namespace, LabelsKnown: true}
			got := allowed
			switch why := DenialReason(d, s, ns, Server{}); {
			case why != "":
				got = denied
			case OwnWorkspaceOnly(d, s, ns, Server{}):
				got = ownOnly
			}
			if got != tc.want {
				t.Errorf("the session is %s, want %s", got, tc.want)
			}
		})
	}
}

// An access rule decides about each auth method explicitly. A method that was added without that is
// refused.
func TestEveryAuthMethodIsCheckedByAccessRules(t *testing.T) {
	t.Parallel()
	check := func(method v1alpha1.AuthMethod) string {
		rule := v1alpha1.AccessRule{Auth: []v1alpha1.AuthMethod{method}, Users: []string{"*"}}
		s := &v1alpha1.CoderSession{Spec: v1alpha1.CoderSessionSpec{Auth: v1alpha1.Auth{
			Mint: &v1alpha1.MintAuth{User: "ci-bot"}, Token: &v1alpha1.SuppliedTokenAuth{},
			OAuth: &v1alpha1.OAuthAuth{}, Certificate: &v1alpha1.CertificateAuth{},
		}}}
		return ask{deployment: &v1alpha1.CoderDeployment{}, session: s}.checkMethod(method, rule)
	}
	for _, name := range declared.StringConstants(t, "api/v1alpha1/names.go", "AuthMethod") {
		if refusal := check(v1alpha1.AuthMethod(name)); refusal != "" {
			t.Errorf("a rule that allows all of %s refuses it: %s", name, refusal)
		}
	}
	const want = "this version of the operator does not know what auth method Other may do"
	if got := check("Other"); got != want {
		t.Errorf("an unknown method: %q, want %q", got, want)
	}
}

func TestScopeCovers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ceiling, scope v1alpha1.Scope
		want           bool
	}{
		{"workspace:read", "workspace:read", true},
		{"workspace:*", "workspace:read", true},
		{"workspace:*", "workspace:*", true},
		{"coder:all", "workspace:*", true},
		{"coder:all", "coder:all", true},
		{"workspace:read", "workspace:*", false},
		{"workspace:*", "workspace_proxy:read", false},
		{"workspace:*", "coder:all", false},
		{"coder:*", "coder:all", false},
		{"workspace:read", "workspace:update", false},
		{"", "workspace:read", false},
	} {
		if got := ScopeCovers(tc.ceiling, tc.scope); got != tc.want {
			t.Errorf("ScopeCovers(%q, %q) = %t, want %t", tc.ceiling, tc.scope, got, tc.want)
		}
	}
}

func FuzzScopeCovers(f *testing.F) {
	f.Add("workspace:*", "workspace:read")
	f.Add("coder:all", "")
	f.Fuzz(func(t *testing.T, ceiling, scope string) {
		if !ScopeCovers(v1alpha1.Scope(scope), v1alpha1.Scope(scope)) {
			t.Errorf("%q does not cover itself", scope)
		}
		covers := ScopeCovers(v1alpha1.Scope(ceiling), v1alpha1.Scope(scope))
		if covers && ceiling != scope && ceiling != "coder:all" && !strings.HasSuffix(ceiling, ":*") {
			t.Errorf("%q covers %q", ceiling, scope)
		}
	})
}

// B31, B32
func TestGrantDenialReason(t *testing.T) {
	t.Parallel()
	d := &v1alpha1.CoderDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod"}}
	d.Spec.Access = []v1alpha1.AccessRule{
		{Auth: []v1alpha1.AuthMethod{v1alpha1.AuthOAuth}, Scopes: []v1alpha1.Scope{"workspace:*"}},
	}
	asks := v1alpha1.CoderSessionSpec{
		Auth: v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{Scopes: []v1alpha1.Scope{"workspace:read"}}},
	}
	for name, tc := range map[string]struct {
		namespace string
		granted   []v1alpha1.Scope
		want      string
	}{
		"within the ceiling": {"builds", []v1alpha1.Scope{"workspace:read", "workspace:*"}, ""},
		"above the ceiling": {
			"builds", []v1alpha1.Scope{"workspace:read", "user:read"}, "scope user:read is not covered",
		},
		"all":                        {"builds", []v1alpha1.Scope{"coder:all"}, "scope coder:all is not covered"},
		"the deployment's namespace": {"coder", []v1alpha1.Scope{"coder:all"}, ""},
		"the scopes are not known":   {"builds", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &v1alpha1.CoderSession{
				ObjectMeta: metav1.ObjectMeta{Namespace: tc.namespace, Name: "ci"}, Spec: *asks.DeepCopy(),
			}
			got := GrantDenialReason(d, s, Namespace{Name: tc.namespace, LabelsKnown: true}, Granted{Scopes: tc.granted})
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("GrantDenialReason = %q, want %q in it", got, tc.want)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// A ceiling that the server cannot keep denies the session, unless the rule accepts that; and so does
// what the server has granted beyond the ceiling (B137).
func TestCeilingsThatTheServerDoesNotKeep(t *testing.T) {
	t.Parallel()
	oauth := v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{Scopes: []v1alpha1.Scope{"workspace:read"}}}
	mint := v1alpha1.Auth{Mint: &v1alpha1.MintAuth{
		User: "ci-bot", Lifetime: "8h", Scopes: []v1alpha1.Scope{"workspace:read"}}}
	supplied := v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{}}
	limited := v1alpha1.AccessRule{Scopes: []v1alpha1.Scope{"workspace:*"}}
	accepting := limited
	accepting.AllowUnenforcedScopes = true
	short := v1alpha1.AccessRule{MaxLifetime: new(v1alpha1.Duration)}
	*short.MaxLifetime = "24h"
	ignoring := Server{IgnoresOAuthScopes: true, IgnoresTokenScopes: true}
	all := Granted{Scopes: []v1alpha1.Scope{"coder:all"}}
	for name, tc := range map[string]struct {
		auth    v1alpha1.Auth
		rule    v1alpha1.AccessRule
		server  Server
		granted *Granted
		want    string // part of the refusal; "": allowed
	}{
		"OAuth, a server that keeps it": {auth: oauth, rule: limited, server: Server{IgnoresTokenScopes: true}},
		"OAuth, one that does not": {auth: oauth, rule: limited, server: ignoring,
			want: "the server ignores scopes of OAuth, as Coder before 2.38 does, so it cannot limit the token to workspace:*"},
		"OAuth, accepted":     {auth: oauth, rule: accepting, server: ignoring},
		"OAuth, no ceiling":   {auth: oauth, server: ignoring},
		"OAuth, all allowed":  {auth: oauth, rule: v1alpha1.AccessRule{Scopes: all.Scopes}, server: ignoring},
		"OAuth, all granted":  {auth: oauth, rule: limited, granted: &all, want: "scope coder:all is not covered"},
		"OAuth, that, too":    {auth: oauth, rule: accepting, granted: &all},
		"OAuth, not known":    {auth: oauth, rule: limited, granted: &Granted{}},
		"minted, kept":        {auth: mint, rule: limited, server: Server{IgnoresOAuthScopes: true}},
		"minted, not kept":    {auth: mint, rule: limited, server: ignoring, want: "as Coder up to 2.24 does"},
		"minted, accepted":    {auth: mint, rule: accepting, server: ignoring},
		"minted, all granted": {auth: mint, rule: limited, granted: &all, want: "the server granted more than the rule"},
		"minted, as asked":    {auth: mint, rule: limited, granted: &Granted{Scopes: mint.Mint.Scopes}},
		"minted for longer": {auth: mint, rule: short, granted: &Granted{Lifetime: 168 * time.Hour},
			want: "lifetime 168h0m0s exceeds the allowed 24h"},
		"minted for as long":      {auth: mint, rule: short, granted: &Granted{Lifetime: 24*time.Hour + time.Second}},
		"other methods ask none":  {auth: supplied, rule: limited, server: ignoring},
		"and are granted nothing": {auth: supplied, rule: limited, granted: &all},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.rule.Auth = []v1alpha1.AuthMethod{v1alpha1.AuthMint, v1alpha1.AuthOAuth, v1alpha1.AuthToken}
			tc.rule.Users = []string{"ci-*"}
			d := &v1alpha1.CoderDeployment{
				ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod"},
				Spec:       v1alpha1.CoderDeploymentSpec{Access: []v1alpha1.AccessRule{tc.rule}},
			}
			s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci"}}
			s.Spec.Auth = tc.auth
			reason := func() string {
				if tc.granted != nil {
					return GrantDenialReason(d, s, Namespace{Name: "builds"}, *tc.granted)
				}
				return DenialReason(d, s, Namespace{Name: "builds"}, tc.server)
			}
			if got := reason(); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q in it", got, tc.want)
			}
			s.Namespace = "coder"
			if got := reason(); got != "" {
				t.Errorf("in the namespace of the deployment: %q", got)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package mint_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// listLargeLimits lets the server list the tokens of a user with more entries of the allow-list than are kept.
func listLargeLimits(w *stepped.World, user string) {
	w.T.Helper()
	changeAnswers(w, "/keys/tokens", func(list *[]map[string]any) {
		for _, token := range *list {
			if token["username"] != user {
				continue
			}
			entries := token["allow_list"].([]any)
			for i := range 500 {
				entries = append(entries, fmt.Sprintf("workspace:%08x-0000-4000-8000-000000000000", i))
			}
			token["allow_list"] = entries
		}
	})
}

// B130, B137: a listed token whose scopes and allow-list are too large to be kept has more than was asked for,
// and more than any ceiling allows: it is not published any longer.
func TestLimitsThatAreTooLargeToBeKept(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ask    v1alpha1.MintAuth
		rule   v1alpha1.AccessRule
		denied bool
	}{
		"scopes":        {ask: v1alpha1.MintAuth{Scopes: []v1alpha1.Scope{"workspace:read"}}},
		"an allow-list": {ask: v1alpha1.MintAuth{AllowList: []v1alpha1.AllowListEntry{"workspace:*"}}},
		"a ceiling": {
			ask:  v1alpha1.MintAuth{Scopes: []v1alpha1.Scope{"workspace:read"}},
			rule: v1alpha1.AccessRule{Scopes: []v1alpha1.Scope{"workspace:*"}}, denied: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			limit(w, tc.rule)
			s := w.NewMintedSession("ci", testenv.MachineUser)
			s.Namespace, s.Spec.DeploymentRef.Namespace = "team", stepped.Namespace
			s.Spec.Auth.Mint.Scopes, s.Spec.Auth.Mint.AllowList = tc.ask.Scopes, tc.ask.AllowList
			w.Put(s)
			status := settleInTeam(w, "ci")
			if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionScopesGranted) {
				t.Fatalf("at first the conditions are %+v", status.Conditions)
			}
			minted := status.Token.ID
			listLargeLimits(w, testenv.MachineUser)
			w.Clock.Step(6 * time.Minute)
			status = settleInTeam(w, "ci")
			if replaced := status.Token == nil || status.Token.ID != minted; replaced != tc.denied {
				t.Errorf("the token is replaced: %t, the conditions are %+v", replaced, status.Conditions)
			}
			granted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionScopesGranted)
			if !tc.denied && granted.Status != metav1.ConditionFalse {
				t.Errorf("ScopesGranted is %+v", granted)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B130: a list of tokens that is not kept is said in status, and Ready does not depend on it.
func TestTokensListed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		listing TokenListing
		words   string // of the message; empty: there is no condition
	}{
		"kept":      {TokenListing{Time: noon, Result: accepted}, ""},
		"not yet":   {TokenListing{}, ""},
		"failed":    {TokenListing{Time: noon, Result: unreachable}, ""},
		"too large": {TokenListing{Time: noon, Result: elsewhere, TooLarge: "too much"}, "too much: delete tokens"},
		"left out": {TokenListing{Time: noon, Result: accepted, LeftOut: []LeftOut{
			{"mallory", 600}, {"2", 5}, {"a", 4}, {"b", 3},
		}}, "leaves out 612 tokens with names such as the operator gives, because those of some users take too much " +
			"memory: delete the tokens that are not used of mallory (600), 2 (5), a (4) and 1 others"},
		"dropped": {TokenListing{Time: noon, Result: accepted, Dropped: true}, "was dropped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newDeployment("prod", withVerification(accepted, 0))
			o.TokenListing = tt.listing
			p := reportVerification(o)
			removed := slices.Contains(p.ConditionsToRemove, v1alpha1.ConditionTokensListed)
			var found, ready *metav1.Condition
			for i := range p.Conditions {
				switch c := &p.Conditions[i]; c.Type {
				case v1alpha1.ConditionTokensListed:
					found = c
				case v1alpha1.ConditionReady:
					ready = c
				}
			}
			if removed != (tt.words == "") || (found != nil) == removed || ready.Status != metav1.ConditionTrue {
				t.Fatalf("removed %t, set %+v, Ready %+v", removed, found, ready)
			}
			if found != nil && (found.Status != metav1.ConditionFalse ||
				found.Reason != v1alpha1.ReasonTokenListTooLarge || !strings.Contains(found.Message, tt.words)) {
				t.Errorf("it is %+v", found)
			}
		})
	}
}

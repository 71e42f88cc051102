// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Another operator with the same cluster id mints tokens: the condition names them, or the sessions.
func TestIdentityUnique(t *testing.T) {
	t.Parallel()
	listed := TokenListing{LastSuccessTime: noon}
	for name, tt := range map[string]struct {
		o       Observation
		words   string // of the message; empty: there is no condition
		removed bool
	}{
		"tokens that no session claims": {
			o:     Observation{ForeignTokens: []string{"cso-a", "cso-b", "cso-c", "cso-d"}, TokenListing: listed},
			words: "has minted cso-a, cso-b, cso-c and 1 more: give one of the two another --cluster-id",
		},
		"tokens of sessions": {
			o: Observation{
				Sessions: Sessions{Duplicated: []string{"a/1", "a/2", "a/3", "a/4"}}, TokenListing: listed,
			},
			words: "sessions a/1, a/2, a/3 and 1 more: give one of the two another --cluster-id",
		},
		"none":           {o: Observation{TokenListing: listed}, removed: true},
		"not listed yet": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p Plan
			setIdentityUniqueCondition(tt.o, &p)
			if (len(p.ConditionsToRemove) > 0) != tt.removed || (len(p.Conditions) > 0) != (tt.words != "") {
				t.Fatalf("set: %+v, removed: %v", p.Conditions, p.ConditionsToRemove)
			}
			for _, c := range p.Conditions {
				if c.Type != v1alpha1.ConditionIdentityUnique || c.Status != metav1.ConditionFalse ||
					!strings.Contains(c.Message, tt.words) {
					t.Errorf("it is %+v", c)
				}
			}
		})
	}
}

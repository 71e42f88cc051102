// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// setTokensListedCondition sets TokensListed=False while the operator does not keep the server's list of
// tokens, because it is too large (B130). Nothing that depends on a token's absence is decided then.
func setTokensListedCondition(o Observation, p *Plan) {
	const kind = v1alpha1.ConditionTokensListed
	switch listing := o.TokenListing; {
	case listing.TooLarge != "":
		p.setCondition(kind, metav1.ConditionFalse, v1alpha1.ReasonTokenListTooLarge, listing.TooLarge+
			": delete tokens of the operator that are not used on the server, or spread sessions over several servers")
	case listing.Dropped:
		p.setCondition(kind, metav1.ConditionFalse, v1alpha1.ReasonTokenListTooLarge,
			"the list of tokens was dropped, because lists of other CoderDeployments need the memory: it is read again; "+
				"if that goes on, delete tokens of the operator that are not used on the server")
	default:
		p.ConditionsToRemove = append(p.ConditionsToRemove, kind)
	}
}

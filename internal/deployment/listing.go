// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"fmt"
	"strings"

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
			": delete tokens on the server that are not used, or spread sessions over several servers")
	case listing.Dropped:
		p.setCondition(kind, metav1.ConditionFalse, v1alpha1.ReasonTokenListTooLarge,
			"the list of tokens was dropped, because lists of other CoderDeployments need the memory: it is read again; "+
				"if that goes on, delete tokens on the server that are not used")
	case len(listing.LeftOut) > 0:
		p.setCondition(kind, metav1.ConditionFalse, v1alpha1.ReasonTokenListTooLarge, describeLeftOut(listing.LeftOut))
	default:
		p.ConditionsToRemove = append(p.ConditionsToRemove, kind)
	}
}

// maxNamedUsers is how many users the condition names.
const maxNamedUsers = 3

// describeLeftOut says whose tokens are not in the list.
func describeLeftOut(users []LeftOut) string {
	tokens, names := 0, []string{}
	for at, user := range users {
		tokens += user.Count
		if at < maxNamedUsers {
			names = append(names, fmt.Sprintf("%s (%d)", user.User, user.Count))
		}
	}
	who := strings.Join(names, ", ")
	if more := len(users) - maxNamedUsers; more > 0 {
		who += fmt.Sprintf(" and %d others", more)
	}
	return fmt.Sprintf("the list leaves out %d tokens with names such as the operator gives, because those of some "+
		"users take too much memory: delete the tokens that are not used of %s", tokens, who)
}

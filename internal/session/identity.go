// SPDX-License-Identifier: Apache-2.0

package session

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// hasDuplicateOperator reports whether another operator with the same cluster id mints tokens of the
// session, as the operators of a cluster and of its clone do. Its tokens are never revoked, and the
// published one is not replaced before it has ended.
func (o Observation) hasDuplicateOperator() bool { return len(o.ServerTokens.Foreign) > 0 }

// setIdentityUniqueCondition sets IdentityUnique=False while another operator mints tokens of the
// session. Without a token list the condition stays: it also tells the next process which tokens are
// not its own.
func setIdentityUniqueCondition(o Observation, p *Plan) {
	if !o.hasDuplicateOperator() {
		if o.ServerTokens.Loaded {
			p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionIdentityUnique)
		}
		return
	}
	names := make([]string, 0, len(o.ServerTokens.Foreign))
	for _, token := range o.ServerTokens.Foreign {
		names = append(names, token.Name)
	}
	p.setCondition(v1alpha1.ConditionIdentityUnique, metav1.ConditionFalse, v1alpha1.ReasonDuplicateOperator,
		v1alpha1.DuplicateOperatorMessage(names))
}

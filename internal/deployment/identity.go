// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// maxNamedSessions is how many sessions a message names.
const maxNamedSessions = 3

// foreignTokens are the names of tokens of another operator. Before the tokens were listed they are those in
// status, which tell this process that these are not its own.
func foreignTokens(o Observation) []string {
	if o.TokenListing.LastSuccessTime.IsZero() {
		return o.Deployment.Status.ForeignTokens
	}
	return o.ForeignTokens
}

// setIdentityUniqueCondition sets IdentityUnique=False while another operator with the same cluster id
// mints tokens of the deployment, of sessions that are unknown here, or of its sessions. Before the
// tokens were listed the condition stays.
func setIdentityUniqueCondition(o Observation, p *Plan) {
	switch sessions := o.Sessions.Duplicated; {
	case len(o.ForeignTokens) > 0:
		p.setCondition(v1alpha1.ConditionIdentityUnique, metav1.ConditionFalse, v1alpha1.ReasonDuplicateOperator,
			v1alpha1.DuplicateOperatorMessage(o.ForeignTokens))
	case len(sessions) > 0:
		more := ""
		if rest := len(sessions) - maxNamedSessions; rest > 0 {
			sessions, more = sessions[:maxNamedSessions], fmt.Sprintf(" and %d more", rest)
		}
		p.setCondition(v1alpha1.ConditionIdentityUnique, metav1.ConditionFalse, v1alpha1.ReasonDuplicateOperator,
			fmt.Sprintf("another operator with the same cluster id mints tokens of sessions %s%s: give one of the two "+
				"another --cluster-id", strings.Join(sessions, ", "), more))
	case !o.TokenListing.LastSuccessTime.IsZero():
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionIdentityUnique)
	}
}

// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// longestNotice is how long before its end a client certificate is said to end soon; a short-lived one in the last fifth
// of its time.
const longestNotice = 7 * 24 * time.Hour

// sayCurrent says whether the client certificate is valid, and for how long (B101). The server may look at another clock,
// so this changes nothing but what is said.
func sayCurrent(o Observation, p *Plan) {
	begin, end := o.Config.CertificateNotBefore, o.Config.CertificateNotAfter
	if end.IsZero() {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionCertificateCurrent)
		return
	}
	notice := end.Add(-min(longestNotice, end.Sub(begin)/5))
	until := end.UTC().Format(time.RFC3339)
	say := func(status metav1.ConditionStatus, reason, message string) {
		p.set(v1alpha1.ConditionCertificateCurrent, status, reason, message)
	}
	const renew = "renew it in its Secret, and it is used at once"
	switch {
	case o.Now.Before(begin):
		say(metav1.ConditionFalse, v1alpha1.ReasonCertificateNotYetValid,
			fmt.Sprintf("the client certificate is valid from %s on", begin.UTC().Format(time.RFC3339)))
		p.wakeAt(begin)
	case !o.Now.Before(end):
		say(metav1.ConditionFalse, v1alpha1.ReasonCertificateExpired, fmt.Sprintf("the client certificate has ended at %s: %s", until, renew))
	case !o.Now.Before(notice):
		say(metav1.ConditionFalse, v1alpha1.ReasonCertificateExpiring, fmt.Sprintf("the client certificate ends at %s: %s", until, renew))
		p.wakeAt(end)
	default:
		say(metav1.ConditionTrue, v1alpha1.ReasonCertificateValid, fmt.Sprintf("the client certificate is valid until %s", until))
		p.wakeAt(notice)
	}
}

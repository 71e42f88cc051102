// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// longestNotice is how long before its expiration a client certificate is reported as expiring
// soon. For a short-lived certificate it is the last fifth of its lifetime.
const longestNotice = 7 * 24 * time.Hour

// setCertificateCurrentCondition reports whether the client certificate is valid, and for how long
// (B101). It only affects this condition, because the server's clock may differ.
func setCertificateCurrentCondition(o Observation, p *Plan) {
	begin, end := o.Config.CertificateNotBefore, o.Config.CertificateNotAfter
	if end.IsZero() {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionCertificateCurrent)
		return
	}
	notice := end.Add(-min(longestNotice, end.Sub(begin)/5))
	until := end.UTC().Format(time.RFC3339)
	set := func(status metav1.ConditionStatus, reason, message string) {
		p.setCondition(v1alpha1.ConditionCertificateCurrent, status, reason, message)
	}
	const renew = "renew it in its Secret; the operator uses it at once"
	switch {
	case o.Now.Before(begin):
		set(metav1.ConditionFalse, v1alpha1.ReasonCertificateNotYetValid,
			fmt.Sprintf("the client certificate is not valid before %s: wait, or write a valid one to its Secret",
				begin.UTC().Format(time.RFC3339)))
		p.requeueBy(begin)
	case !o.Now.Before(end):
		set(metav1.ConditionFalse, v1alpha1.ReasonCertificateExpired,
			fmt.Sprintf("the client certificate expired at %s: %s", until, renew))
	case !o.Now.Before(notice):
		set(metav1.ConditionFalse, v1alpha1.ReasonCertificateExpiring,
			fmt.Sprintf("the client certificate expires at %s: %s", until, renew))
		p.requeueBy(end)
	default:
		set(metav1.ConditionTrue, v1alpha1.ReasonCertificateValid,
			fmt.Sprintf("the client certificate is valid until %s", until))
		p.requeueBy(notice)
	}
}

// setCABundleCompleteCondition reports certificates of the CA bundle that cannot be read. The others
// are trusted.
func setCABundleCompleteCondition(o Observation, p *Plan) {
	const kind = v1alpha1.ConditionCABundleComplete
	switch settings := o.Deployment.Spec.TLS; {
	case settings == nil || settings.CABundle == nil:
		p.ConditionsToRemove = append(p.ConditionsToRemove, kind)
	case o.Config.CABundleWarning != "":
		p.setCondition(kind, metav1.ConditionFalse, v1alpha1.ReasonCertificatesSkipped, o.Config.CABundleWarning)
	default:
		p.setCondition(kind, metav1.ConditionTrue, v1alpha1.ReasonAllTrusted,
			"all certificates of the CA bundle are trusted")
	}
}

// setTransportProtectedCondition says whether what is sent can be read or changed on the way (B140).
func setTransportProtectedCondition(o Observation, p *Plan) {
	const kind = v1alpha1.ConditionTransportProtected
	switch settings := o.Deployment.Spec.TLS; {
	case strings.HasPrefix(strings.ToLower(o.Deployment.Spec.URL), "http:"):
		p.setCondition(kind, metav1.ConditionFalse, v1alpha1.ReasonPlainHTTP,
			"tokens are sent by http, and can be read on the way: write an https URL into url")
	case settings != nil && settings.InsecureSkipVerify:
		p.setCondition(kind, metav1.ConditionFalse, v1alpha1.ReasonCertificateUnchecked,
			"tls.insecureSkipVerify gives tokens to any server that answers: name the server's authority in tls.caBundle "+
				"instead")
	default:
		p.setCondition(kind, metav1.ConditionTrue, v1alpha1.ReasonProtected,
			"requests are sent by https, and the server's certificate is checked")
	}
}

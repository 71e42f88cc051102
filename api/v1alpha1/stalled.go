// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reasonsForPeople are the reasons of Ready=False that last until a person changes something: an
// object, a right, or the user on the server. A first consent is not among them, because it is a step
// of every session with auth.oauth.
var reasonsForPeople = []string{
	ReasonConfigInvalid, ReasonAccessDenied, ReasonSecretConflict, ReasonSecretTooLarge, ReasonWorkspaceUnknown,
	ReasonReauthenticationRequired, ReasonSuspended, ReasonUnauthorized, ReasonForbidden, ReasonUserSuspended,
	ReasonCertificateRejected, ReasonCertificateUnsupported, ReasonCertificateAuthorityUnknown,
	ReasonCertificateAccessDenied, ReasonCertificateRequired, ReasonServerUntrusted, ReasonAddressDenied,
}

// SetStalled sets Stalled=True, with the reason and message of Ready, while a person has to correct
// something, and removes it otherwise. It reports whether the conditions have changed. Tools that wait
// for objects by the rules of kstatus, such as Flux and Helm, stop waiting then (B118). A Secret or
// ConfigMap that is missing is waited for: another controller may be about to write it.
func SetStalled(conditions *[]metav1.Condition, now time.Time) (changed bool) {
	ready := meta.FindStatusCondition(*conditions, ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionFalse || !slices.Contains(reasonsForPeople, ready.Reason) ||
		ready.Reason == ReasonConfigInvalid && awaitsReference(*conditions) {
		return meta.RemoveStatusCondition(conditions, ConditionStalled)
	}
	return meta.SetStatusCondition(conditions, metav1.Condition{
		Type: ConditionStalled, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message,
		ObservedGeneration: ready.ObservedGeneration, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}

// awaitsReference reports whether a Secret, ConfigMap or key that the spec names is missing:
// ConfigResolved says so of a CoderDeployment, Authenticated of a CoderSession.
func awaitsReference(conditions []metav1.Condition) bool {
	return slices.ContainsFunc(conditions, func(c metav1.Condition) bool {
		return c.Reason == ReasonReferenceMissing && (c.Type == ConditionConfigResolved || c.Type == ConditionAuthenticated)
	})
}

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
	ReasonReauthenticationRequired, ReasonUnauthorized, ReasonForbidden, ReasonCertificateRejected, ReasonUserSuspended,
}

// SetStalled sets Stalled=True, with the reason and message of Ready, while a person has to correct
// something, and removes it otherwise. It reports whether the conditions have changed. Tools that wait
// for objects by the rules of kstatus, such as Flux and Helm, stop waiting then (B118).
func SetStalled(conditions *[]metav1.Condition, now time.Time) (changed bool) {
	ready := meta.FindStatusCondition(*conditions, ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionFalse || !slices.Contains(reasonsForPeople, ready.Reason) {
		return meta.RemoveStatusCondition(conditions, ConditionStalled)
	}
	return meta.SetStatusCondition(conditions, metav1.Condition{
		Type: ConditionStalled, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message,
		ObservedGeneration: ready.ObservedGeneration, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}

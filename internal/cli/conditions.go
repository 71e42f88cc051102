// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// fullName is an object's name in messages.
func fullName(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

// readyCondition is a session's Ready condition. Nil: the operator has not observed the current
// generation, so the status is out of date.
func readyCondition(s *v1alpha1.CoderSession) *metav1.Condition {
	if s.Status.ObservedGeneration != s.Generation {
		return nil
	}
	return meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
}

// deploymentReadyCondition is the same for a deployment.
func deploymentReadyCondition(d *v1alpha1.CoderDeployment) *metav1.Condition {
	if d.Status.ObservedGeneration != d.Generation {
		return nil
	}
	return meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
}

// unresolvableReasons are the reasons for which a consent cannot make a session ready.
var unresolvableReasons = map[string]bool{
	v1alpha1.ReasonConfigInvalid:  true,
	v1alpha1.ReasonAccessDenied:   true,
	v1alpha1.ReasonSecretConflict: true,
	v1alpha1.ReasonPaused:         true,
}

// describeSessionStatus describes a session's status as the rest of a sentence after its name.
func describeSessionStatus(s *v1alpha1.CoderSession) string {
	return describeCondition(readyCondition(s))
}

// describeCondition describes a Ready condition as the rest of a sentence after the object's name.
// The message is shown as it is.
func describeCondition(ready *metav1.Condition) string {
	switch {
	case ready == nil:
		return "has not been looked at by the operator yet"
	case ready.Message == "":
		return "is " + ready.Reason
	}
	return fmt.Sprintf("is %s: %s", ready.Reason, ready.Message)
}

// whyNoConsent says why a session without auth.oauth needs no login, and what to do instead.
func whyNoConsent(s *v1alpha1.CoderSession) string {
	switch auth := s.Spec.Auth; auth.Method() {
	case v1alpha1.AuthMint:
		return fmt.Sprintf("the operator mints its tokens for user %q; no login is needed", auth.Mint.User)
	case v1alpha1.AuthToken:
		return fmt.Sprintf("it publishes the token in Secret %q, key %q: to change it, write another one there",
			auth.Token.SecretRef.Name, auth.Token.SecretRef.Key)
	case v1alpha1.AuthCertificate:
		return "the client certificate or the headers of its deployment identify it; no login is needed"
	default:
		return "write spec.auth.oauth for a session that a person consents to"
	}
}

// sessionDetails returns lines with the user, the Secret and the times of a ready session.
func sessionDetails(s *v1alpha1.CoderSession, now time.Time) []string {
	lines := []string{fmt.Sprintf("  Secret:   %s/%s", s.Namespace, s.SecretName())}
	if user := s.Status.User; user != nil {
		lines = append([]string{"  User:     " + user.Username}, lines...)
	}
	if token := s.Status.Token; token != nil && token.ExpirationTime != nil {
		lines = append(lines, "  Expires:  "+formatTime(token.ExpirationTime.Time, now))
	}
	if next := s.Status.NextRefreshTime; next != nil {
		lines = append(lines, "  Renewal:  "+formatTime(next.Time, now))
	}
	return lines
}

// formatTime formats a time, and how far away it is by the local clock.
func formatTime(t, now time.Time) string {
	away := "in " + formatDuration(t.Sub(now))
	if t.Before(now) {
		away = formatDuration(now.Sub(t)) + " ago"
	}
	return fmt.Sprintf("%s (%s)", t.UTC().Format(time.RFC3339), away)
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// fullName is how an object is called in what is said.
func fullName(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

// readiness is a session's Ready condition. Nil: the operator has not looked at what the spec says now, so nothing that the
// status says counts.
func readiness(s *v1alpha1.CoderSession) *metav1.Condition {
	if s.Status.ObservedGeneration != s.Generation {
		return nil
	}
	return meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
}

// deploymentReadiness is the same for a deployment.
func deploymentReadiness(d *v1alpha1.CoderDeployment) *metav1.Condition {
	if d.Status.ObservedGeneration != d.Generation {
		return nil
	}
	return meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
}

// unmendable are the reasons of a session that no consent makes ready.
var unmendable = map[string]bool{
	v1alpha1.ReasonConfigInvalid:  true,
	v1alpha1.ReasonAccessDenied:   true,
	v1alpha1.ReasonSecretConflict: true,
	v1alpha1.ReasonPaused:         true,
}

// standing says in a sentence without its subject how a session is.
func standing(s *v1alpha1.CoderSession) string {
	return inASentence(readiness(s), reasonOf(s))
}

// reasonOf is the message of a session's Ready condition, without the command of the plugin that it ends with: people are running
// that, or are shown it in its own place.
func reasonOf(s *v1alpha1.CoderSession) string {
	ready := readiness(s)
	if ready == nil {
		return ""
	}
	message := strings.TrimSuffix(ready.Message, fmt.Sprintf(
		": open status.authorization.url in a browser, or run: kubectl coder login -n %s %s", s.Namespace, s.Name))
	return strings.TrimSuffix(message, fmt.Sprintf(
		"; to get the credential back now, run: kubectl coder renew %s -n %s, or change the spec", s.Name, s.Namespace))
}

// inASentence goes on after a subject.
func inASentence(ready *metav1.Condition, message string) string {
	switch {
	case ready == nil:
		return "has not been looked at by the operator yet"
	case message == "":
		return "is " + ready.Reason
	}
	return fmt.Sprintf("is %s: %s", ready.Reason, message)
}

// noConsent says why a session without auth.oauth has nothing to log in to, and what to do instead.
func noConsent(s *v1alpha1.CoderSession) string {
	switch auth := s.Spec.Auth; auth.Method() {
	case v1alpha1.AuthMint:
		return fmt.Sprintf("the operator mints its tokens for user %q by itself, and nobody has to log in", auth.Mint.User)
	case v1alpha1.AuthToken:
		return fmt.Sprintf("it publishes the token in Secret %q, key %q: to change it, write another one there",
			auth.Token.SecretRef.Name, auth.Token.SecretRef.Key)
	case v1alpha1.AuthCertificate:
		return "the client certificate or the headers of its deployment identify it, and nobody has to log in"
	default:
		return "write spec.auth.oauth for a session that a person consents to"
	}
}

// sessionSummary says, in lines, what a ready session holds.
func sessionSummary(s *v1alpha1.CoderSession, now time.Time) []string {
	lines := []string{fmt.Sprintf("  Secret:   %s/%s", s.Namespace, s.SecretName())}
	if user := s.Status.User; user != nil {
		lines = append([]string{"  User:     " + user.Username}, lines...)
	}
	if token := s.Status.Token; token != nil && token.ExpirationTime != nil {
		lines = append(lines, "  Expires:  "+moment(token.ExpirationTime.Time, now))
	}
	if next := s.Status.NextRefreshTime; next != nil {
		lines = append(lines, "  Renewed:  "+moment(next.Time, now))
	}
	return lines
}

// moment is a time and how far it is away, by the caller's clock.
func moment(t, now time.Time) string {
	away := "in " + duration.HumanDuration(t.Sub(now))
	if t.Before(now) {
		away = duration.HumanDuration(now.Sub(t)) + " ago"
	}
	return fmt.Sprintf("%s (%s)", t.UTC().Format(time.RFC3339), away)
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const renewHelp = `Ask the operator for another credential of a session now, and wait until it is published.

A minted token is replaced, and the old one revoked after rotation.overlap; a grant of OAuth is
refreshed; a supplied token is read and checked again. A session that retention has retired returns.
Changes of conditions are printed to standard error, the outcome to standard output.

You need the right to patch the session. When the command ends, the request stands.

Exit codes:
  0    the new credential is published, and the session is ready
  1    the command line is wrong, or something unexpected happened
  2    the credential is refused (Suspended, ConfigInvalid), the session did not get ready, or a
       request is useless: it waits for a consent, or is Paused,
       AccessDenied, SecretConflict, WorkspaceStopped or WorkspaceUnknown
  3    there was no outcome within --timeout
  4    the session was not found, or the API server cannot be reached or does not allow it
  130  interrupted with Ctrl-C`

const renewExamples = `  # A token may have leaked: replace it now
  kubectl coder renew ci -n builds

  # Bring back a session that retention has retired
  kubectl coder renew nightly -n builds`

// newRenew returns the renew command.
func newRenew(c *connector) *cobra.Command {
	command := &cobra.Command{
		Use:               "renew SESSION",
		Short:             "Replace a session's credential now",
		Long:              renewHelp,
		Example:           renewExamples,
		ValidArgsFunction: completeOne(c, sessionKind, completionOfSession),
	}
	return addRequest(command, "the new credential", request[*v1alpha1.CoderSession]{
		connector: c, kind: sessionKind,
		annotation: v1alpha1.AnnotationRenewRequestedAt,
		progress: func(s *v1alpha1.CoderSession) ([]metav1.Condition, string) {
			return s.Status.Conditions, s.Status.LastHandledRenewAt
		},
		blocker: renewBlocker, refusal: renewRefusal, describeStatus: describeSessionStatus,
	}, c.reportRenewed)
}

// renewBlocker says why a request cannot give the session another credential. ConfigInvalid is not
// among the reasons: the cause may be on the server, and may be fixed there already.
func renewBlocker(s *v1alpha1.CoderSession) string {
	ready := readyCondition(s)
	if ready == nil || ready.Status == metav1.ConditionTrue {
		return ""
	}
	switch ready.Reason {
	case v1alpha1.ReasonAwaitingAuthorization, v1alpha1.ReasonReauthenticationRequired:
		return "is " + ready.Reason + ": run kubectl coder login -n " + s.Namespace + " " + s.Name
	case v1alpha1.ReasonPaused, v1alpha1.ReasonAccessDenied, v1alpha1.ReasonSecretConflict,
		v1alpha1.ReasonWorkspaceStopped, v1alpha1.ReasonWorkspaceUnknown:
		return describeSessionStatus(s)
	}
	return ""
}

// renewRefusal says why the server, or the spec, refuses another credential, once the operator has
// tried for the request.
func renewRefusal(s *v1alpha1.CoderSession, isAnswer func(observed string) bool) string {
	ready := readyCondition(s)
	if ready == nil || ready.Status == metav1.ConditionTrue || !isAnswer(s.Status.ObservedRenewAt) {
		return ""
	}
	switch ready.Reason {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonConfigInvalid:
		return describeSessionStatus(s)
	}
	return ""
}

// reportRenewed prints the result.
func (c *connector) reportRenewed(s *v1alpha1.CoderSession) error {
	if ready := readyCondition(s); ready == nil || ready.Status != metav1.ConditionTrue {
		return newExitError(ExitBlocked, "session %s %s", fullName(s), describeSessionStatus(s))
	}
	if s.Spec.PerPod != nil {
		c.out.printOut(fmt.Sprintf("Session %s has no token itself: those of its pods are being replaced", fullName(s)))
		return nil
	}
	which := ""
	if token := s.Status.Token; token != nil {
		which = fmt.Sprintf(": it has token %s", token.ID)
	}
	c.out.printOut(fmt.Sprintf("Session %s is renewed%s", fullName(s), which))
	for _, line := range sessionDetails(s, c.env.Clock.Now()) {
		c.out.printOut(line)
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const renewHelp = `Ask the operator for another credential of a session now, and wait until it is published.

A minted token is replaced, and the old one revoked after rotation.overlap; a grant of OAuth is refreshed; a supplied token is
read and checked again. A session that retention has retired returns. Each change of a condition is told on standard error,
the outcome on standard output.

You need the right to patch the session. When the command ends, the request stands.

Exit codes:
  0    the new credential is published, and the session is ready
  1    the command line is wrong, or something unexpected happened
  2    it is not ready with the outcome, or asking is of no use: it waits for a consent, is Paused, AccessDenied or
       WorkspaceStopped, or its Secret belongs to somebody else
  3    there was no outcome within --timeout
  4    the session was not found, or the API server cannot be reached or does not allow it
  130  interrupted with Ctrl-C`

const renewExamples = `  # A token may have leaked: replace it now
  kubectl coder renew ci -n builds

  # Bring back a session that retention has retired
  kubectl coder renew nightly -n builds`

// newRenew makes the command renew.
func newRenew(c *connector) *cobra.Command {
	command := &cobra.Command{
		Use:               "renew SESSION",
		Short:             "Replace a session's credential now",
		Long:              renewHelp,
		Example:           renewExamples,
		ValidArgsFunction: completeOne(c, sessionKind, describeSession),
	}
	return asking(command, "the new credential", request[*v1alpha1.CoderSession]{
		connector: c, kind: sessionKind,
		annotation: v1alpha1.AnnotationRenewRequestedAt,
		progress: func(s *v1alpha1.CoderSession) ([]metav1.Condition, string) {
			return s.Status.Conditions, s.Status.LastHandledRenewAt
		},
		useless: notRenewable, standing: standing,
	}, c.renewed)
}

// notRenewable says why a session gets no other credential by asking for it. ConfigInvalid is not among the reasons: what is
// wrong may be on the server, and mended there.
func notRenewable(s *v1alpha1.CoderSession) string {
	ready := readiness(s)
	if ready == nil || ready.Status == metav1.ConditionTrue {
		return ""
	}
	switch ready.Reason {
	case v1alpha1.ReasonAwaitingAuthorization, v1alpha1.ReasonReauthenticationRequired:
		return standing(s) + ": run kubectl coder login -n " + s.Namespace + " " + s.Name
	case v1alpha1.ReasonPaused, v1alpha1.ReasonAccessDenied, v1alpha1.ReasonSecretConflict, v1alpha1.ReasonWorkspaceStopped:
		return standing(s)
	}
	return ""
}

// renewed says what came of it.
func (c *connector) renewed(s *v1alpha1.CoderSession) error {
	if ready := readiness(s); ready == nil || ready.Status != metav1.ConditionTrue {
		return exit(ExitUnmendable, "session %s %s", fullName(s), standing(s))
	}
	which := ""
	if token := s.Status.Token; token != nil {
		which = fmt.Sprintf(": it has token %s", token.ID)
	}
	c.out.println(fmt.Sprintf("Session %s is renewed%s", fullName(s), which))
	for _, line := range sessionSummary(s, c.env.Clock.Now()) {
		c.out.println(line)
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const pauseHelp = `Pause a session: set its spec.paused. The operator asks the server nothing about it, and replaces and
revokes nothing; the Secret stays as it is. The token in it may end meanwhile.

You need the right to patch the session. Where its manifest is applied from Git, set spec.paused there:
otherwise the next sync undoes this.

Exit codes:
  0    the session is paused
  1    the command line is wrong, or something unexpected happened
  4    the session was not found, or the API server cannot be reached or does not allow it
  130  interrupted with Ctrl-C`

const pauseExamples = `  # Keep the credential as it is while the server is moved
  kubectl coder pause ci -n builds`

const resumeHelp = `Resume a paused session: set its spec.paused to false. The operator looks at it at once, and
replaces a token that has ended.

You need the right to patch the session.

Exit codes:
  0    the session is no longer paused; kubectl coder status says how it is
  1    the command line is wrong, or something unexpected happened
  4    the session was not found, or the API server cannot be reached or does not allow it
  130  interrupted with Ctrl-C`

const resumeExamples = `  kubectl coder resume ci -n builds`

// newPause returns the pause command.
func newPause(c *connector) *cobra.Command {
	return c.newPausing(&cobra.Command{
		Use: "pause SESSION", Short: "Leave a session as it is", Long: pauseHelp, Example: pauseExamples,
	}, true)
}

// newResume returns the resume command.
func newResume(c *connector) *cobra.Command {
	return c.newPausing(&cobra.Command{
		Use: "resume SESSION", Short: "Look after a paused session again", Long: resumeHelp, Example: resumeExamples,
	}, false)
}

// newPausing completes a command that sets spec.paused.
func (c *connector) newPausing(command *cobra.Command, paused bool) *cobra.Command {
	command.GroupID = groupSessions
	command.Args = requireOneName(sessionKind.noun)
	command.ValidArgsFunction = completeOne(c, sessionKind, func(s *v1alpha1.CoderSession) (string, bool) {
		word, _ := completionOfSession(s)
		return word, s.Spec.Paused != paused
	})
	command.RunE = func(command *cobra.Command, args []string) error {
		return c.setPaused(command.Context(), args[0], paused)
	}
	return command
}

// setPaused sets spec.paused of a session, unless it is so already.
func (c *connector) setPaused(ctx context.Context, name string, paused bool) error {
	cluster, err := c.connect()
	if err != nil {
		return err
	}
	session := &v1alpha1.CoderSession{}
	err = cluster.client.Get(ctx, types.NamespacedName{Namespace: cluster.namespace, Name: name}, session)
	switch {
	case apierrors.IsNotFound(err):
		return notFoundError(sessionKind.noun, cluster.namespace, name)
	case err != nil:
		return readError(sessionKind.noun, err)
	}
	state := map[bool]string{true: "paused", false: "not paused"}[paused]
	if session.Spec.Paused == paused {
		c.out.printOut(fmt.Sprintf("Session %s is %s already", fullName(session), state))
		return nil
	}
	// The UID is a precondition, so that a session that was recreated with the same name is not changed.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": session.UID}, "spec": map[string]any{"paused": paused},
	})
	if err != nil {
		return fmt.Errorf("make the patch: %w", err)
	}
	if err := cluster.client.Patch(
		ctx, session, client.RawPatch(types.MergePatchType, patch), fieldOwner); err != nil {
		return writeError(sessionKind.noun, err)
	}
	c.out.printOut(fmt.Sprintf("Session %s is %s", fullName(session), state))
	return nil
}

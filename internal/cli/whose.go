// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/tokenformat"
)

const whoseHelp = `Tell which session a token on the Coder server belongs to, and which pod if it is of a session with
perPod. TOKEN is the token's name, which begins with cso-, or its id, as "coder tokens list" or an
audit log of Coder shows them.

Sessions of all namespaces are searched if you may list them, else those of your namespace. The
session of a pod is gone when the pod has ended: the operator's log tells which pod it was.

Exit codes:
  0    the session was found
  1    the command line is wrong
  2    the sessions could not be listed, or only those of your namespace, and it is none of these
  4    no session has such a token
  130  interrupted with Ctrl-C`

const whoseExamples = `  # A name from Coder's audit log
  kubectl coder whose cso-k8sabcde-0a1b2c3d-1

  # An id
  kubectl coder whose a1B2c3D4e5`

// newWhose returns the whose command.
func newWhose(c *connector) *cobra.Command {
	return &cobra.Command{
		Use:               "whose TOKEN",
		Short:             "Tell which session and pod a token belongs to",
		Long:              whoseHelp,
		Example:           whoseExamples,
		GroupID:           groupSessions,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return newExitError(ExitFailed, "write the name or the id of one token: kubectl coder whose TOKEN")
			}
			if token, err := tokenformat.Parse([]byte(args[0])); err == nil && !token.Empty() {
				return newExitError(ExitFailed, "this is a token itself, which is in the history of your shell now: renew the "+
					"session, and write the token's name, or its id, which is the part before the hyphen")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			return c.showOwner(command.Context(), args[0])
		},
	}
}

// tokenName matches the name of a token that an operator has minted: the cluster id, the first characters
// of the session's UID and a serial number.
var tokenName = regexp.MustCompile(`^cso-[a-z0-9]{8}-([0-9a-f]{8})-[1-9][0-9]*$`)

// hasToken reports whether a token is that of a session, or one that it has had, if its name says so.
func hasToken(s *v1alpha1.CoderSession, token string) bool {
	if match := tokenName.FindStringSubmatch(token); match != nil {
		return strings.HasPrefix(string(s.UID), match[1])
	}
	isPending := func(p v1alpha1.PendingRevocation) bool { return p.ID == token || p.Name == token }
	current := s.Status.Token
	return current != nil && (current.ID == token || current.Name == token) ||
		slices.ContainsFunc(s.Status.PendingRevocations, isPending)
}

// showOwner prints the session and the pod of a token.
func (c *connector) showOwner(ctx context.Context, token string) error {
	cluster, err := c.connect()
	if err != nil {
		return newExitError(ExitIncomplete, "%w", err)
	}
	s := &scope{own: cluster.namespace}
	sessions := map[types.NamespacedName]*v1alpha1.CoderSession{}
	if s.sessions, err = listVisible(ctx, cluster, s, sessionKind, sessions); err != nil {
		return err
	}
	for _, note := range s.notes {
		c.out.printErrf("%s", note)
	}
	found := false
	for _, session := range sessions {
		if hasToken(session, token) {
			found = true
			c.printOwner(session, token)
		}
	}
	switch {
	case found:
		return nil
	case !s.coversSessions(""):
		return newExitError(ExitIncomplete, "no session that you may list has the token %q%s", token, podHint(token))
	}
	return newExitError(ExitUnreachable, "no session has the token %q%s", token, podHint(token))
}

// podHint says where to find out about the token of a pod that has ended.
func podHint(token string) string {
	match := tokenName.FindStringSubmatch(token)
	if match == nil {
		return ": a replaced token is known by its name only, which begins with cso-"
	}
	return fmt.Sprintf(": if it was that of a pod that has ended, the operator's log has a line %q with the pod and a "+
		"uid that begins with %s", "created the session of a pod", match[1])
}

// printOwner prints what a token belongs to.
func (c *connector) printOwner(s *v1alpha1.CoderSession, token string) {
	which := "had"
	if current := s.Status.Token; current != nil && (current.ID == token || current.Name == token) {
		which = "has"
	}
	c.out.printOut(fmt.Sprintf("Session %s %s token %s, and %s", fullName(s), which, token, describeSessionStatus(s)))
	if user := s.Status.User; user != nil {
		c.out.printOut("  User:     " + user.Username)
	}
	if pod := podOwner(s); pod != "" {
		c.out.printOut(fmt.Sprintf("  Pod:      %s/%s", s.Namespace, pod))
		c.out.printOut("  Of:       " + client.ObjectKey(parentKey(s)).String())
	}
}

package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// completing is how long a shell waits for names.
const completing = 3 * time.Second

// completeConsenting completes the one argument with the sessions that a person consents to, and how each is.
func (c *connector) completeConsenting(command *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	cluster, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(command.Context(), completing)
	defer cancel()
	sessions, err := cluster.sessions(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for i := range sessions {
		if s := &sessions[i]; s.Spec.Auth.Method() == v1alpha1.AuthOAuth {
			names = append(names, cobra.CompletionWithDesc(s.Name, inAWord(s)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// inAWord is how a session is.
func inAWord(s *v1alpha1.CoderSession) string {
	switch ready := readiness(s); {
	case ready == nil:
		return "Unknown"
	case ready.Status == metav1.ConditionTrue:
		return "Ready"
	default:
		return ready.Reason
	}
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// completing is how long a shell waits for names.
const completing = 3 * time.Second

// completeOne completes the one argument with the names in the namespace. Describe says how an object is, in a word or none,
// and whether it is offered at all.
func completeOne[T client.Object](c *connector, kind kind[T], describe func(T) (string, bool)) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(command.Context(), c, kind, within, describe)
	}
}

// complete lists names for a shell.
func complete[T client.Object](
	ctx context.Context, c *connector, kind kind[T], selecting func(namespace string) *client.ListOptions, describe func(T) (string, bool),
) ([]cobra.Completion, cobra.ShellCompDirective) {
	cluster, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(ctx, completing)
	defer cancel()
	found, _, err := kind.read(ctx, cluster.client, selecting(cluster.namespace))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for _, object := range found {
		switch word, offered := describe(object); {
		case offered && word != "":
			names = append(names, cobra.CompletionWithDesc(object.GetName(), word))
		case offered:
			names = append(names, object.GetName())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeEither completes the one argument with the deployments and the sessions of the namespace.
func (c *connector) completeEither(command *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	first, directive := completeOne(c, deploymentKind, describeDeployment)(command, args, typed)
	second, other := completeOne(c, sessionKind, describeSession)(command, args, typed)
	return append(first, second...), max(directive&^cobra.ShellCompDirectiveError, other)
}

// completeSecrets completes arguments with the Secrets of the namespace that are not the operator's. Their contents are not asked for.
func (c *connector) completeSecrets(command *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return complete(command.Context(), c, metadataOf("Secret", "Secret"), notGenerated, func(s *metav1.PartialObjectMetadata) (string, bool) {
		return "", !slices.Contains(args, s.Name)
	})
}

// completeNamespaces completes the value of --namespace.
func (c *connector) completeNamespaces(command *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	everywhere := func(string) *client.ListOptions { return within("") }
	return complete(command.Context(), c, metadataOf("namespace", "Namespace"), everywhere, func(*metav1.PartialObjectMetadata) (string, bool) {
		return "", true
	})
}

// completeContexts completes the value of --context.
func (c *connector) completeContexts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	config, err := c.flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]cobra.Completion, 0, len(config.Contexts))
	for name := range config.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}

// describeConsenting offers the sessions that a person consents to.
func describeConsenting(s *v1alpha1.CoderSession) (string, bool) {
	word, _ := describeSession(s)
	return word, s.Spec.Auth.Method() == v1alpha1.AuthOAuth
}

func describeSession(s *v1alpha1.CoderSession) (string, bool) { return inAWord(readiness(s)), true }

func describeDeployment(d *v1alpha1.CoderDeployment) (string, bool) {
	return inAWord(deploymentReadiness(d)), true
}

// inAWord is how something is, by its Ready condition.
func inAWord(ready *metav1.Condition) string {
	switch {
	case ready == nil:
		return "Unknown"
	case ready.Status == metav1.ConditionTrue:
		return "Ready"
	default:
		return ready.Reason
	}
}

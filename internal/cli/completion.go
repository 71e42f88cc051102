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

// completionTimeout is how long a shell waits for completions.
const completionTimeout = 3 * time.Second

// completeOne completes a single argument with the names of the objects in the namespace. Describe
// returns an object's description, which may be empty, and whether the object is offered.
func completeOne[T client.Object](
	c *connector, kind objectKind[T], describe func(T) (string, bool),
) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeNames(command.Context(), c, kind, selectNamespace, describe)
	}
}

// completeNames lists the names of objects for shell completion.
func completeNames[T client.Object](
	ctx context.Context, c *connector, kind objectKind[T], selecting func(namespace string) *client.ListOptions,
	describe func(T) (string, bool),
) ([]cobra.Completion, cobra.ShellCompDirective) {
	cluster, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	found, _, err := kind.listAll(ctx, cluster.client, selecting(cluster.namespace))
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

// completeEither completes a single argument with the deployments and sessions of the namespace.
func (c *connector) completeEither(
	command *cobra.Command, args []string, typed string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	first, directive := completeOne(c, deploymentKind, completionOfDeployment)(command, args, typed)
	second, other := completeOne(c, sessionKind, completionOfSession)(command, args, typed)
	return append(first, second...), max(directive&^cobra.ShellCompDirectiveError, other)
}

// completeSecrets completes the arguments with the Secrets of the namespace that the operator did
// not generate. Only their metadata is requested.
func (c *connector) completeSecrets(
	command *cobra.Command, args []string, _ string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	return completeNames(command.Context(), c, metadataKind("Secret", "Secret"), selectNotGenerated,
		func(s *metav1.PartialObjectMetadata) (string, bool) {
			return "", !slices.Contains(args, s.Name)
		})
}

// completeNamespaces completes the value of --namespace.
func (c *connector) completeNamespaces(
	command *cobra.Command, _ []string, _ string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	everywhere := func(string) *client.ListOptions { return selectNamespace("") }
	return completeNames(command.Context(), c, metadataKind("namespace", "Namespace"), everywhere,
		func(*metav1.PartialObjectMetadata) (string, bool) {
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

// completionOfOAuthSession offers only the sessions with auth.oauth.
func completionOfOAuthSession(s *v1alpha1.CoderSession) (string, bool) {
	word, _ := completionOfSession(s)
	return word, s.Spec.Auth.Method() == v1alpha1.AuthOAuth
}

func completionOfSession(s *v1alpha1.CoderSession) (string, bool) {
	return shortStatus(readyCondition(s)), true
}

func completionOfDeployment(d *v1alpha1.CoderDeployment) (string, bool) {
	return shortStatus(deploymentReadyCondition(d)), true
}

// shortStatus is the reason of the Ready condition, or Ready.
func shortStatus(ready *metav1.Condition) string {
	switch {
	case ready == nil:
		return "Unknown"
	case ready.Status == metav1.ConditionTrue:
		return "Ready"
	default:
		return ready.Reason
	}
}

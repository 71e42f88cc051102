// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// statusOptions are the flags of status.
type statusOptions struct {
	all    bool
	output string
	watch  bool
	name   string // of a deployment or session; empty: all
}

const statusHelp = `Show the deployments of the namespace, and those that its sessions refer to, each with all sessions
that use it. The unhealthy come first, with what to do about it. Healthy sessions are
only counted, unless you write -o wide or a name: that of a deployment or of a session.

Sessions of other namespaces are shown as far as you may list them. What could not be listed is
reported on standard error. The time of a verification is recorded once an hour while nothing
changes.

The pods of a session with perPod are counted in its line; -o wide, or its name, names each of them.

Sessions that are paused or retired, or whose workspace is stopped, are inactive as intended: they do
not count as unhealthy.

Exit codes:
  0    all that is shown is healthy or inactive
  1    something is degraded or unhealthy
  2    the status could not be read, or only for a part of the namespace, or the command line is
       wrong
  130  interrupted with Ctrl-C`

const statusExamples = `  # How is everything in this namespace
  kubectl coder status

  # And in the cluster, as it changes
  kubectl coder status -A --watch

  # All about one session, and the deployment that it uses
  kubectl coder status ci -n builds

  # In a script
  kubectl coder status -n builds >/dev/null || notify "Coder sessions need a look"

  # The objects themselves
  kubectl coder status -A -o json`

// newStatus returns the status command.
func newStatus(c *connector) *cobra.Command {
	var o statusOptions
	command := &cobra.Command{
		Use:               "status [NAME]",
		Short:             "Show deployments with their sessions, and what to do about them",
		Long:              statusHelp,
		Example:           statusExamples,
		GroupID:           groupSessions,
		ValidArgsFunction: c.completeEither,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return newExitError(ExitIncomplete,
					"name one deployment or session, or none: kubectl coder status [NAME]")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.name = args[0]
			}
			if err := o.validate(); err != nil {
				return newExitError(ExitIncomplete, "%w", err)
			}
			return c.showStatus(command.Context(), o)
		},
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return newExitError(ExitIncomplete, "%w", err) })
	flags := command.Flags()
	addAllNamespaces(flags, &o.all)
	flags.StringVarP(&o.output, "output", "o", "", "wide: name every session; or the objects: "+joinWithOr(formats))
	flags.BoolVarP(&o.watch, "watch", "w", false, "show the status again whenever something changes, until Ctrl-C")
	_ = command.RegisterFlagCompletionFunc(
		"output", cobra.FixedCompletions(append([]string{wide}, formats...), cobra.ShellCompDirectiveNoFileComp))
	return command
}

// addAllNamespaces adds the flag -A.
func addAllNamespaces(flags *pflag.FlagSet, all *bool) {
	flags.BoolVarP(all, "all-namespaces", "A", false, "work with all namespaces, whatever -n says")
}

// addOperatorNamespace adds the flag --operator-namespace.
func addOperatorNamespace(flags *pflag.FlagSet, namespace *string, usage string) {
	flags.StringVar(namespace, "operator-namespace", "coder-session-operator-system", usage)
}

// validate checks the values of the flags and their combinations.
func (o *statusOptions) validate() error {
	switch {
	case o.output != "" && o.output != wide && !slices.Contains(formats, o.output):
		return fmt.Errorf("-o %s: write %s, %s", o.output, wide, joinWithOr(formats))
	case o.watch && o.output != "" && o.output != wide:
		return fmt.Errorf("--watch does not go with -o %s: use kubectl get codersessions --watch -o %s", o.output,
			o.output)
	}
	return nil
}

// showStatus shows the status once, or with --watch whenever it changes.
func (c *connector) showStatus(ctx context.Context, o statusOptions) error {
	cluster, err := c.connect()
	if err != nil {
		return newExitError(ExitIncomplete, "%w", err)
	}
	own := cluster.namespace
	if o.all {
		own = ""
	}
	finishVersionCheck := c.startVersionCheck(ctx, cluster)
	s, snapshot, err := c.fetchStatus(ctx, cluster, own)
	if err != nil {
		return err
	}
	finishVersionCheck()
	if o.watch {
		return (&statusWatch{connector: c, options: o, cluster: cluster, scope: s, snapshot: snapshot}).run(ctx)
	}
	now := c.env.Clock.Now()
	found := buildDeploymentNodes(s, snapshot)
	if o.name != "" {
		if found = filterByName(found, o.name, own); len(found) == 0 {
			return newExitError(ExitIncomplete, "neither a deployment nor a session has the name %q%s, as far as you "+
				"may see: -n names another namespace, -A looks everywhere", o.name, namespaceHint(own))
		}
	}
	if slices.Contains(formats, o.output) {
		err = printObjects(c.env.Out, o.output, found)
	} else {
		err = c.out.writeOut(c.renderTree(o, found, now))
	}
	if err != nil {
		return newExitError(ExitIncomplete, "%w", err)
	}
	switch {
	case worstLevelOf(found) > inactive:
		return silentExit(ExitAttention)
	case s.incomplete:
		return silentExit(ExitIncomplete)
	}
	return nil
}

// fetchStatus lists what is in a namespace (empty: in all), says what could not be listed, and fails if
// the namespace does not exist.
func (c *connector) fetchStatus(ctx context.Context, cluster *cluster, own string) (*scope, *clusterSnapshot, error) {
	s, snapshot, err := cluster.fetch(ctx, own)
	if err != nil {
		return nil, nil, err
	}
	for _, note := range s.notes {
		c.out.printErrf("%s", note)
	}
	return s, snapshot, cluster.requireNamespace(ctx, own, snapshot)
}

// namespaceHint names the searched namespace, unless all were searched.
func namespaceHint(namespace string) string {
	if namespace == "" {
		return ""
	}
	return fmt.Sprintf(" in namespace %q", namespace)
}

// renderTree returns the tree as text.
func (c *connector) renderTree(o statusOptions, found []deploymentNode, now time.Time) string {
	t := &tree{now: now, detailed: o.output == wide || o.name != "", paint: painter{c.env.Colours}}
	return t.render(found)
}

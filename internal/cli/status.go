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

const statusHelp = `Show the deployments of the namespace, and those that its sessions refer to, each with all sessions that use it: what is wrong
comes first, with what to do about it. What is well is summed up; -o wide, or a name, shows it one by one. The name may be that of
a deployment or of a session.

Sessions of other namespaces are shown as far as you may list them. What could not be looked at is said on standard error.
The time of a verification is recorded once an hour while nothing changes.

Sessions that are paused, retired or whose workspace is stopped are as somebody wants them: they are not counted as wrong.

Exit codes:
  0    all that is shown is well
  1    something is not
  2    it could not be looked at, or not at all of the namespace, or the command line is wrong
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

// newStatus makes the command status.
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
				return exit(ExitUnseen, "name one deployment or session, or none: kubectl coder status [NAME]")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.name = args[0]
			}
			if err := o.check(); err != nil {
				return exit(ExitUnseen, "%w", err)
			}
			return c.status(command.Context(), o)
		},
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit(ExitUnseen, "%w", err) })
	flags := command.Flags()
	addAllNamespaces(flags, &o.all)
	flags.StringVarP(&o.output, "output", "o", "", "wide: name every session; or the objects: "+listed(formats))
	flags.BoolVarP(&o.watch, "watch", "w", false, "show it anew whenever something changes, until Ctrl-C")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(append([]string{wide}, formats...), cobra.ShellCompDirectiveNoFileComp))
	return command
}

// addAllNamespaces adds the flag -A.
func addAllNamespaces(flags *pflag.FlagSet, all *bool) {
	flags.BoolVarP(all, "all-namespaces", "A", false, "work with all namespaces, whatever -n says")
}

// check finds what of the flags does not go together.
func (o *statusOptions) check() error {
	switch {
	case o.output != "" && o.output != wide && !slices.Contains(formats, o.output):
		return fmt.Errorf("-o %s: write %s, %s", o.output, wide, listed(formats))
	case o.watch && o.output != "" && o.output != wide:
		return fmt.Errorf("--watch does not go with -o %s: use kubectl get codersessions --watch -o %s", o.output, o.output)
	}
	return nil
}

// status shows how everything is, once or again and again.
func (c *connector) status(ctx context.Context, o statusOptions) error {
	cluster, err := c.connect()
	if err != nil {
		return exit(ExitUnseen, "%w", err)
	}
	own := cluster.namespace
	if o.all {
		own = ""
	}
	s, seen, err := cluster.fetch(ctx, own)
	if err != nil {
		return err
	}
	for _, note := range s.notes {
		c.out.printf("%s", note)
	}
	if o.watch {
		return (&watched{connector: c, options: o, cluster: cluster, scope: s, seen: seen}).run(ctx)
	}
	now := c.env.Clock.Now()
	found := deploymentNodes(s, seen, now)
	if o.name != "" {
		if found = onlyNamed(found, o.name, own); len(found) == 0 {
			return exit(ExitUnseen, "neither a deployment nor a session has the name %q%s, as far as you may see: -n names another namespace, -A looks everywhere", o.name, placed(own))
		}
	}
	if slices.Contains(formats, o.output) {
		err = printObjects(c.env.Out, o.output, found)
	} else {
		err = c.out.write(c.drawn(o, found, now))
	}
	if err != nil {
		return exit(ExitUnseen, "%w", err)
	}
	switch {
	case worstOf(found) > resting:
		return quietly(ExitAttention)
	case s.blind:
		return quietly(ExitUnseen)
	}
	return nil
}

// placed says where something was looked for.
func placed(namespace string) string {
	if namespace == "" {
		return ""
	}
	return fmt.Sprintf(" in namespace %q", namespace)
}

// drawn is the tree.
func (c *connector) drawn(o statusOptions, found []deploymentNode, now time.Time) string {
	t := &tree{now: now, whole: o.output == wide || o.name != "", paint: painter{c.env.Colours}}
	return t.draw(found)
}

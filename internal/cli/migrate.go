// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
)

// migrateOptions are the flags of migrate.
type migrateOptions struct {
	all, apply, prune bool
	timeout           time.Duration
	names             []string // of Secrets; none: all that have the keys
}

const migrateHelp = `Make a CoderDeployment and a CoderSession out of each flat Secret: one with the keys url and session, or CODER_URL and
CODER_SESSION_TOKEN. Name them, or leave the names out for all of the namespace that have these keys (with -A: of all
namespaces). Secrets of the operator's own are left alone.

Sessions of one server share a deployment, and one that the namespace has for that URL already is used. The manifests are
printed, for you to review and apply; --apply creates what does not exist yet. Nothing that exists is overwritten, and running
it again goes on where it stopped.

A session reads its token from the old Secret (auth.token), and publishes it, once the server has accepted it, in another
Secret with the session's name and the same keys. So nothing is copied, programs that use the old Secret go on working,
and a token that is written to the old Secret reaches the new one. Switch your programs to the new Secret one by one.

--apply --prune does the last step when that is done, for each session that is Ready and whose old Secret no pod uses any more:
the token is copied to a Secret <session>-token, the session reads it from there, and when it is Ready again the old Secret is
deleted, unless somebody has changed it meanwhile. Only running pods are looked at: what a CronJob or a workload without pods
names, you have to see to.

Secrets have to be read for this, but no credential is printed. You need the rights to list Secrets, and to list and create
deployments and sessions; for --prune also those to list pods, create and delete Secrets, and patch sessions.

Exit codes:
  0    all that was found is, or could be, migrated
  1    some of it could not: it is said what and why; or the command line is wrong
  4    the API server cannot be reached or does not allow it
  130  interrupted with Ctrl-C: run it again to go on`

const migrateExamples = `  # What would be made of this namespace
  kubectl coder migrate -n builds

  # Of one Secret, into a file for review
  kubectl coder migrate coder-credentials -n builds > coder.yaml

  # Create it
  kubectl coder migrate -n builds --apply

  # When all programs use the new Secrets
  kubectl coder migrate -n builds --apply --prune`

// newMigrate makes the command migrate.
func newMigrate(c *connector) *cobra.Command {
	var o migrateOptions
	command := &cobra.Command{
		Use:               "migrate [SECRET...]",
		Short:             "Make sessions out of Secrets with a URL and a token",
		Long:              migrateHelp,
		Example:           migrateExamples,
		GroupID:           groupSetUp,
		ValidArgsFunction: c.completeSecrets,
		RunE: func(command *cobra.Command, args []string) error {
			o.names = args
			if err := o.check(); err != nil {
				return err
			}
			cluster, err := c.connect()
			if err != nil {
				return err
			}
			return c.migrate(command.Context(), cluster, o)
		},
	}
	flags := command.Flags()
	addAllNamespaces(flags, &o.all)
	flags.BoolVar(&o.apply, "apply", false, "create what does not exist, instead of printing it")
	flags.BoolVar(&o.prune, "prune", false, "with --apply: delete the old Secrets that nothing uses any more")
	addTimeout(flags, &o.timeout, time.Minute, "sessions to be ready, with --prune")
	return command
}

// check finds what of the flags does not go together.
func (o *migrateOptions) check() error {
	switch {
	case o.prune && !o.apply:
		return errors.New("--prune is for --apply: write that, too")
	case o.all && len(o.names) > 0:
		return errors.New("-A is for all Secrets: name some with -n, or leave the names out")
	}
	return checkTimeout(o.timeout)
}

// migrate makes a plan, and prints it or carries it out.
func (c *connector) migrate(ctx context.Context, cluster *cluster, o migrateOptions) error {
	m := &migration{connector: c, cluster: cluster, options: o}
	if err := m.find(ctx); err != nil {
		return err
	}
	if err := m.plan(ctx); err != nil {
		return err
	}
	var err error
	if o.apply {
		err = m.carryOut(ctx)
	} else {
		err = m.print()
	}
	if err != nil {
		return err
	}
	if m.faults > 0 {
		return quietly(ExitFailed)
	}
	return nil
}

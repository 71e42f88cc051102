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
	names             []string // of Secrets; empty: all that have the keys
}

const migrateHelp = `Make a CoderDeployment and a CoderSession out of each flat Secret: one with the keys url and
session, or CODER_URL and CODER_SESSION_TOKEN. Name them, or leave the names out for all of the
namespace that have these keys (with -A: of all namespaces). Secrets of the operator's own are left
alone.

Sessions of one server share a deployment, and one that the namespace has for that URL already is
used. The manifests are printed, for you to review and apply; --apply creates what does not exist
yet. Nothing that exists is overwritten, and running it again goes on where it stopped.

A session reads its token from the old Secret (auth.token), and publishes it, once the server has
accepted it, in another Secret with the session's name and the same keys. So nothing is copied,
programs that use the old Secret go on working, and a token that is written to the old Secret
reaches the new one. Switch your programs to the new Secret one by one.

--apply --prune does the last step when that is done, for each session that is Ready and whose old
Secret no pod uses any more: the token is copied to a Secret <session>-token, the session reads it
from there, and when it is Ready again the old Secret is deleted, unless it has changed meanwhile.
Only running pods are checked: check CronJobs and workloads without pods yourself.

Secrets have to be read for this, but no credential is printed. You need the rights to list Secrets,
and to list and create deployments and sessions; for --prune also those to list pods, create and
delete Secrets, and patch sessions.

Exit codes:
  0    all Secrets that were found are, or can be, migrated
  1    some could not be migrated: the messages say which and why; or the command line is wrong
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

// newMigrate returns the migrate command.
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
			if err := o.validate(); err != nil {
				return err
			}
			cluster, err := c.connect()
			if err != nil {
				return err
			}
			return c.runMigration(command.Context(), cluster, o)
		},
	}
	flags := command.Flags()
	addAllNamespaces(flags, &o.all)
	flags.BoolVar(&o.apply, "apply", false, "create what does not exist, instead of printing it")
	flags.BoolVar(&o.prune, "prune", false, "with --apply: delete the old Secrets that nothing uses any more")
	addTimeout(flags, &o.timeout, time.Minute, "sessions to be ready, with --prune")
	return command
}

// validate checks the values of the flags and their combinations.
func (o *migrateOptions) validate() error {
	switch {
	case o.prune && !o.apply:
		return errors.New("--prune is for --apply: write that, too")
	case o.all && len(o.names) > 0:
		return errors.New("-A is for all Secrets: name some with -n, or leave the names out")
	}
	return checkTimeout(o.timeout)
}

// runMigration plans the migration, and prints the plan or applies it.
func (c *connector) runMigration(ctx context.Context, cluster *cluster, o migrateOptions) error {
	finishVersionCheck := c.startVersionCheck(ctx, cluster)
	defer finishVersionCheck()
	m := &migration{connector: c, cluster: cluster, options: o}
	if err := m.findSecrets(ctx); err != nil {
		return err
	}
	if err := m.planMoves(ctx); err != nil {
		return err
	}
	var err error
	if o.apply {
		err = m.applyMoves(ctx)
	} else {
		err = m.printManifests()
	}
	if err != nil {
		return err
	}
	if m.errorCount > 0 {
		return silentExit(ExitFailed)
	}
	return nil
}

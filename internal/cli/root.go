// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// Groups of subcommands in the help.
const (
	groupSessions = "sessions"
	groupSetUp    = "setup"
	groupOther    = "other"
)

// The connection flags are listed once, with the root command, and not with every subcommand.
const (
	inherited     = "Global Flags:\n{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}"
	inheritedHint = "The flags of kubectl for the connection, such as -n, --context and --kubeconfig, are the same " +
		"here: {{.Root.CommandPath}} --help lists them."
)

// Command returns the command tree, for generating documentation. To run it, use [Execute].
func Command(env Environment) *cobra.Command {
	return newRoot(env, &printer{out: env.Out, err: env.Err})
}

// newRoot returns the command tree.
func newRoot(env Environment, out *printer) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-coder",
		Short: "Work with the Coder sessions of a cluster",
		Long: `Work with the CoderDeployments and CoderSessions of a cluster: credentials for Coder that the Coder
Session Operator keeps in Secrets.

Everything is done with your own rights in the cluster. Only env prints a credential: that is its
purpose.`,
		Example: `  # How is everything, and what is to be done about it
  kubectl coder status -A

  # Consent to a session with auth.oauth
  kubectl coder login ada -n coder`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl coder"},
		Version:       env.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.AddGroup(
		&cobra.Group{ID: groupSessions, Title: "Sessions and deployments:"},
		&cobra.Group{ID: groupSetUp, Title: "Setting up:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)

	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), inherited, inheritedHint, 1))
	root.Flags().Bool("version", false, "print the version and exit") // without the shorthand -v

	flags := genericclioptions.NewConfigFlags(true)
	flags.CacheDir = nil // there is no discovery to cache
	flags.AddFlags(root.PersistentFlags())
	c := &connector{flags: flags, env: env, out: out}
	_ = root.RegisterFlagCompletionFunc("namespace", c.completeNamespaces) // fails only for flags that do not exist
	_ = root.RegisterFlagCompletionFunc("context", c.completeContexts)
	root.AddCommand(newStatus(c), newLogin(c), newRenew(c), newPause(c), newResume(c), newVerify(c), newEnv(c),
		newWhose(c), newCheck(c), newTemplate(c),
		newMigrate(c), newConvert(c))
	addShim(root, out)
	return root
}

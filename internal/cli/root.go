package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// Groups of subcommands in the help.
const (
	groupSessions = "sessions"
	groupOther    = "other"
)

// The flags of the connection are listed once, and not again with every subcommand.
const (
	inherited     = "Global Flags:\n{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}"
	inheritedHint = "The flags of kubectl for the connection, such as -n, --context and --kubeconfig, are the same here: {{.Root.CommandPath}} --help lists them."
)

// newRoot makes the command tree.
func newRoot(env Environment, out *printer) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-coder",
		Short: "Work with the Coder sessions of a cluster",
		Long: `Work with the CoderSessions of a cluster: credentials for a Coder deployment that the Coder Session Operator
keeps in Secrets.

Everything is done with your own rights in the cluster. No credential is shown.`,
		Example:       "  kubectl coder login ci",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl coder"},
		Version:       env.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.AddGroup(&cobra.Group{ID: groupSessions, Title: "Sessions:"}, &cobra.Group{ID: groupOther, Title: "Other:"})
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)

	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), inherited, inheritedHint, 1))
	root.Flags().Bool("version", false, "print the version and exit") // of its own, so that it takes no -v

	flags := genericclioptions.NewConfigFlags(true)
	flags.CacheDir = nil // nothing is discovered, so nothing is cached
	flags.AddFlags(root.PersistentFlags())
	connector := &connector{flags: flags, env: env, out: out}
	root.AddCommand(newLogin(connector))
	return root
}

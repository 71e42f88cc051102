// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"github.com/spf13/cobra"
)

// kubectlShim is the program that kubectl runs to complete the arguments of kubectl coder. It looks for
// it by its name, in the PATH.
const kubectlShim = `#!/bin/sh
# Completes the arguments of kubectl coder: put this file into the PATH, beside kubectl-coder. It is the name that
# kubectl looks for.
exec kubectl-coder __complete "$@"
`

const shimHelp = `Print kubectl_complete-coder, with which kubectl completes the arguments of kubectl coder. Put it into
the PATH under that name, and make it executable. kubectl's own completion has to be set up, too: see
kubectl completion --help. Archives of a release have the file beside the plugin; krew does not
install it.`

const shimExamples = `  # Beside the plugin
  kubectl coder completion kubectl >"$HOME/.local/bin/kubectl_complete-coder"
  chmod +x "$HOME/.local/bin/kubectl_complete-coder"`

// addShim adds "completion kubectl" to the completion command that cobra makes.
func addShim(root *cobra.Command, out *printer) {
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		if command.Name() != "completion" {
			continue
		}
		command.AddCommand(&cobra.Command{
			Use: "kubectl", Short: "Print the program with which kubectl completes kubectl coder", Long: shimHelp,
			Example: shimExamples, Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
			RunE: func(*cobra.Command, []string) error { return out.writeOut(kubectlShim) },
		})
	}
}

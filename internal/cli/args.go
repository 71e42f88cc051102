// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// requireOneName accepts exactly one argument: the name of an object. Noun is the object's kind in
// the error message.
func requireOneName(noun string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return fmt.Errorf("name one %s: %s %s", noun, command.CommandPath(), strings.ToUpper(noun))
		}
		return nil
	}
}

// SPDX-License-Identifier: Apache-2.0

package cli

import "strings"

// quoteForShell quotes a value as one word of a POSIX shell (POSIX.1-2017, Shell Command Language,
// section 2.2.2). The value must not contain NUL.
func quoteForShell(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// SPDX-License-Identifier: Apache-2.0

package cli

import "strings"

// quote writes a value as one word of a POSIX shell (POSIX.1-2017, shell, section 2.2.2). A value must not have a NUL, which no
// variable can have.
func quote(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

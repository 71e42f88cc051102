// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os/exec"
	"strings"
	"testing"
)

// FuzzQuote lets a shell parse quoted values.
func FuzzQuote(f *testing.F) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", "a", "'", "''", "'\\''", `"`, "$(touch /tmp/x)", "`id`", "$HOME", "\\", "\n", "a\nb\n", " ",
		"*", "~", "-n", "!", "#", "&;|<>()",
		"é\xff\x01", "s3nt1n3l00-s3nt1n3ls3nt1n3ls3nt1n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.Contains(value, "\x00") {
			t.Skip("no variable can have it")
		}
		// The x keeps the line feeds at the end, which a substitution would take off.
		command := exec.CommandContext(t.Context(), shell, "-s")
		command.Stdin = strings.NewReader("export V=" + quoteForShell(value) + "\nprintf '%sx' \"$V\"\n")
		output, err := command.CombinedOutput()
		if err != nil || string(output) != value+"x" {
			t.Errorf("%q is read as %q (%v)", value, output, err)
		}
	})
}

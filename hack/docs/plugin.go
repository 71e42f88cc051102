// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// pluginPage describes the commands of the kubectl plugin, from the commands themselves.
func pluginPage(page *bytes.Buffer) error {
	page.WriteString(text("kubectl-coder") + "\n")
	writeCommand(page, cli.Command(cli.Environment{Out: io.Discard, Err: io.Discard}))
	return nil
}

// writeCommand describes a command and those below it.
func writeCommand(page *bytes.Buffer, command *cobra.Command) {
	if command.HasParent() {
		fmt.Fprintf(page, "## %s\n\n%s.\n\n", command.CommandPath(), command.Short)
	}
	writeBlock(page, command.UseLine())
	writeParagraphs(page, command.Long)
	if command.HasExample() {
		page.WriteString("Examples:\n\n")
		writeBlock(page, outdented(command.Example))
	}
	writeFlags(page, command)
	for _, child := range command.Commands() {
		if child.IsAvailableCommand() && child.Name() != "completion" && child.Name() != "help" {
			writeCommand(page, child)
		}
	}
}

// writeParagraphs writes text. Indented lines, such as exit codes, are kept as they are.
func writeParagraphs(page *bytes.Buffer, long string) {
	for _, paragraph := range strings.Split(long, "\n\n") {
		heading, table, found := strings.Cut(paragraph, ":\n  ")
		if !found {
			// A placeholder such as <name> would be an HTML tag.
			page.WriteString(strings.ReplaceAll(paragraph, "<", "&lt;") + "\n\n")
			continue
		}
		page.WriteString(heading + ":\n\n")
		writeBlock(page, outdented("  "+table))
	}
}

// writeFlags writes the flags of the command itself; those of the connection are listed once,
// with the root.
func writeFlags(page *bytes.Buffer, command *cobra.Command) {
	own := command.NonInheritedFlags()
	for _, everywhere := range []string{"help", "version"} {
		if flag := own.Lookup(everywhere); flag != nil {
			flag.Hidden = true
		}
	}
	if !own.HasAvailableFlags() {
		return
	}
	heading := "Flags:"
	if !command.HasParent() {
		heading = "Flags of all subcommands, as kubectl has them:"
	}
	page.WriteString(heading + "\n\n")
	writeBlock(page, outdented(own.FlagUsages()))
}

// writeBlock writes lines as they are.
func writeBlock(page *bytes.Buffer, lines string) {
	page.WriteString("```\n" + strings.Trim(lines, "\n") + "\n```\n\n")
}

// outdented removes the two spaces by which help is indented.
func outdented(lines string) string {
	return strings.ReplaceAll(strings.TrimPrefix(lines, "  "), "\n  ", "\n")
}

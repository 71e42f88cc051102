// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is one that a person would type, such as kubectl.
type Program struct {
	// Path of it; its last part is the name that is shown.
	Path string
	// Dir is where it runs, so that file names are short.
	Dir string
	// Env is added to this process's environment.
	Env  []string
	Term *Terminal
}

// Show prints a command and what it prints.
func (p *Program) Show(ctx context.Context, args ...string) error {
	p.Term.Command(p.commandLine(args))
	output, err := p.Run(ctx, args...)
	p.Term.Output(output)
	return err
}

// Run returns what a command prints. Its error has what it printed of problems.
func (p *Program) Run(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, p.Path, args...)
	command.Dir = p.Dir
	command.Env = append(os.Environ(), p.Env...)
	var output, problem bytes.Buffer
	command.Stdout, command.Stderr = &output, &problem
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("%s: %w: %s", p.commandLine(args), err, strings.TrimSpace(problem.String()))
	}
	return output.String(), nil
}

// Folder is what has to be in the PATH.
func (p *Program) Folder() string { return filepath.Dir(p.Path) }

// commandLine is a command as a shell takes it.
func (p *Program) commandLine(args []string) string {
	words := []string{filepath.Base(p.Path)}
	for _, arg := range args {
		if strings.ContainsAny(arg, " '\"{}[]$*?") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

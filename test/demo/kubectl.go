package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// kubectl runs the real program, as a person would.
type kubectl struct {
	program    string
	kubeconfig string
	folder     string // where it runs, so that file names are short
	term       *terminal
}

// show prints a command and what it prints.
func (k *kubectl) show(ctx context.Context, args ...string) error {
	k.term.command(commandLine(args))
	output, err := k.run(ctx, args...)
	k.term.output(output)
	return err
}

// run returns what a command prints.
func (k *kubectl) run(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, k.program, args...)
	command.Dir = k.folder
	command.Env = append(os.Environ(), "KUBECONFIG="+k.kubeconfig)
	var output, problem bytes.Buffer
	command.Stdout, command.Stderr = &output, &problem
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("%s: %w: %s", commandLine(args), err, strings.TrimSpace(problem.String()))
	}
	return output.String(), nil
}

// folderOfProgram is what has to be in the PATH.
func (k *kubectl) folderOfProgram() string { return filepath.Dir(k.program) }

// commandLine is a command as a shell takes it.
func commandLine(args []string) string {
	words := []string{"kubectl"}
	for _, arg := range args {
		if strings.ContainsAny(arg, " '\"{}[]$*?") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

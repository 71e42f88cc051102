package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// Blocks of the quick start that take what is not to be had here: a registry, and Coder's own CLI. What they bring about
// is there already: the image is loaded, and token.txt is written.
var notHere = []string{"make image", "coder login"}

// instead is what stands for the image with Coder's CLI.
var instead = strings.NewReplacer("ghcr.io/coder/coder:latest", testImage, "[/opt/coder, list]", "[/caller, --times=1]")

// quickStart runs the commands of the README's quick start, as a newcomer would paste them.
func (w *world) quickStart(ctx context.Context) error {
	blocks, err := quickStartOf(filepath.Join(w.root, "README.md"))
	if err != nil {
		return err
	}
	if err := w.writeMaterial(ctx); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(w.root, "charts"), filepath.Join(w.folder.Work, "charts")); err != nil {
		return err
	}
	// The README's deployment sends no header.
	if err := w.demandHeader(ctx, false); err != nil {
		return err
	}
	for _, block := range blocks {
		w.term.Command(strings.TrimSpace(strings.ReplaceAll(block, "\n", "\n    ")))
		output, err := w.shell(ctx, instead.Replace(block))
		w.term.Output(output)
		if err != nil {
			return err
		}
	}
	if err := w.noTokens(ctx); err != nil {
		return err
	}
	return w.demandHeader(ctx, true)
}

// demandHeader switches what the edge demands besides the certificate.
func (w *world) demandHeader(ctx context.Context, demanded bool) error {
	headers := map[string]string{}
	if demanded {
		headers[headerName] = w.material.header
	}
	return w.coder.ChangeEdge(ctx, map[string]any{"required_headers": headers})
}

// quickStartOf are the shell blocks of the README's section, without those that cannot be run here.
func quickStartOf(readme string) ([]string, error) {
	text, err := os.ReadFile(readme)
	if err != nil {
		return nil, err
	}
	_, section, found := strings.Cut(string(text), "\n## Quick start")
	if !found {
		return nil, errors.New("the README has no quick start")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	parts := strings.Split(section, "\n```")
	var blocks []string
	for _, part := range parts {
		block, isShell := strings.CutPrefix(part, "sh\n")
		for _, other := range notHere {
			isShell = isShell && !strings.Contains(block, other)
		}
		if isShell {
			blocks = append(blocks, block)
		}
	}
	if len(blocks) < 5 {
		return nil, &walk.UnexpectedError{Expected: "five commands or more in the quick start", Seen: fmt.Sprint(len(blocks))}
	}
	return blocks, nil
}

// shell runs commands with what a newcomer has in the environment.
func (w *world) shell(ctx context.Context, commands string) (string, error) {
	command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
	command.Dir = w.folder.Work
	command.Env = append(os.Environ(), w.helm.Env...)
	command.Env = append(command.Env,
		"IMG="+operatorImage+":"+operatorTag, "CODER_URL="+coderURL,
		"PATH="+strings.Join([]string{w.kubectl.Folder(), w.helm.Folder(), os.Getenv("PATH")}, ":"))
	output, err := command.CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("%s: %w", strings.TrimSpace(commands), err)
	}
	return string(output), nil
}

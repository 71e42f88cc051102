// SPDX-License-Identifier: Apache-2.0

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

// quickStartPage is the page whose commands are run, relative to the repository's root.
const quickStartPage = "docs/getting-started.md"

// notRunHere marks the shell blocks that need what a test has not: a registry, kind or k3d, and
// Coder's own CLI. Their results exist already: the image is loaded, and token.txt is written.
var notRunHere = []string{"make image", "coder login", "make demo"}

// fewestBlocks is the least number of shell blocks that a quick start can have: install, create the
// token's Secret, apply, look, run a pod, clean up.
const fewestBlocks = 6

// testImages puts the test's image in the place of the one with Coder's CLI.
var testImages = strings.NewReplacer(
	"ghcr.io/coder/coder:latest", testImage,
	"[/opt/coder, list]", "[/caller, --times=1]",
)

// quickStart runs the commands of the quick start in the order of the page, as a newcomer would.
func (w *e2eRun) quickStart(ctx context.Context) error {
	page, err := os.ReadFile(filepath.Join(w.root, filepath.FromSlash(quickStartPage)))
	if err != nil {
		return err
	}
	blocks, err := quickStartBlocks(string(page))
	if err != nil {
		return err
	}
	if err := w.writeMaterial(ctx); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(w.root, "charts"), filepath.Join(w.folder.Work, "charts")); err != nil {
		return err
	}
	// The page's CoderDeployment sends no header.
	if err := w.demandHeader(ctx, false); err != nil {
		return err
	}
	for _, block := range blocks {
		w.term.Command(strings.TrimSpace(strings.ReplaceAll(block, "\n", "\n    ")))
		output, err := w.runShell(ctx, testImages.Replace(block))
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
func (w *e2eRun) demandHeader(ctx context.Context, demanded bool) error {
	headers := map[string]string{}
	if demanded {
		headers[headerName] = w.material.header
	}
	return w.coder.ChangeEdge(ctx, map[string]any{"required_headers": headers})
}

// quickStartBlocks returns the shell blocks of a page in their order, without those that cannot be
// run here. A page with too few of them is an error.
func quickStartBlocks(page string) ([]string, error) {
	var blocks []string
	for rest := page; ; {
		_, after, found := strings.Cut(rest, "\n```sh\n")
		if !found {
			break
		}
		block, next, closed := strings.Cut(after, "\n```")
		if !closed {
			return nil, errors.New("a shell block of the quick start is not closed")
		}
		if !containsAny(block, notRunHere) {
			blocks = append(blocks, block+"\n")
		}
		rest = next
	}
	if len(blocks) < fewestBlocks {
		return nil, &walk.UnexpectedError{
			Expected: fmt.Sprintf("%d shell blocks or more in the quick start", fewestBlocks),
			Seen:     fmt.Sprint(len(blocks)),
		}
	}
	return blocks, nil
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// runShell runs commands in a shell with the environment of a new user.
func (w *e2eRun) runShell(ctx context.Context, commands string) (string, error) {
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

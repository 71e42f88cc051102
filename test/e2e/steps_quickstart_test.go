// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands of the page are found, in their order, and are valid for a shell. Those that need a
// registry or Coder's CLI are left out.
func TestQuickStartBlocksOfThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(quickStartPage)))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := quickStartBlocks(string(page))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(blocks, "\n")
	for _, part := range notRunHere {
		if strings.Contains(all, part) {
			t.Errorf("%q is run", part)
		}
	}
	rest := all
	for _, part := range []string{
		"helm install", "create secret generic coder-operator-token", "kind: CoderDeployment",
		"kind: CoderSession", "create secret tls coder-mtls", "clientCertificateSecretName",
		"wait --for=condition=Ready", "credentials.coder.com/inject", "delete cses",
		"uninstall coder-session-operator", "delete crd",
	} {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("%q is missing, or before what it should follow, in\n%s", part, all)
		}
		rest = after
	}
	for _, block := range blocks {
		if output, err := exec.CommandContext(t.Context(), "bash", "-n", "-c", block).CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, output, block)
		}
	}
	for _, part := range []string{"ghcr.io/coder/coder:latest", "[/opt/coder, list]"} {
		if !strings.Contains(all, part) {
			t.Errorf("%q, which is replaced by the test's own, is not in the page", part)
		}
	}
}

func TestQuickStartBlocksOfABrokenPage(t *testing.T) {
	t.Parallel()
	block := "\n```sh\nkubectl get cses\n```\n"
	for name, c := range map[string]struct {
		page string
		want int // blocks; 0: an error
	}{
		"enough blocks":        {strings.Repeat(block, fewestBlocks), fewestBlocks},
		"too few blocks":       {strings.Repeat(block, fewestBlocks-1), 0},
		"blocks left out":      {strings.Repeat(block, fewestBlocks-1) + "\n```sh\nmake image\n```\n", 0},
		"other languages":      {strings.Repeat(block, fewestBlocks) + "\n```yaml\na: b\n```\n", fewestBlocks},
		"a block stays open":   {strings.Repeat(block, fewestBlocks) + "\n```sh\nkubectl get cdep", 0},
		"no blocks whatsoever": {"# Getting started\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blocks, err := quickStartBlocks(c.page)
			if len(blocks) != c.want || (err == nil) != (c.want > 0) {
				t.Errorf("%d blocks, %v; want %d", len(blocks), err, c.want)
			}
		})
	}
}

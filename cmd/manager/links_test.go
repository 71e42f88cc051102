// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What the manager must not link, because its memory without sessions is mostly that of the program's file.
func TestWhatTheManagerDoesNotLink(t *testing.T) {
	t.Parallel()
	const heavy = "k8s.io/apiserver/"
	output, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Fields(string(output))
	if len(linked) < 100 {
		t.Fatalf("the manager has %d packages", len(linked))
	}
	for _, path := range linked {
		if strings.HasPrefix(path, heavy) {
			t.Errorf("it links %s, 10 MiB with what that needs: internal/metricsauth checks who reads the metrics", path)
		}
	}
}

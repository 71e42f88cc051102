// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Only a package with the checksum of SHA256SUMS is installed.
func TestFindPackagedChart(t *testing.T) {
	t.Parallel()
	const sumOfHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	for name, test := range map[string]struct {
		sums, content string
		found         bool
	}{
		"its checksum":     {sumOfHello + "  chart-1.0.0.tgz\n", "hello", true},
		"another content":  {sumOfHello + "  chart-1.0.0.tgz\n", "hello again", false},
		"another file":     {sumOfHello + "  other-1.0.0.tgz\n", "hello", false},
		"two packages":     {sumOfHello + "  chart-1.0.0.tgz\n" + sumOfHello + "  chart-1.0.0.tgz\n", "hello", false},
		"of another place": {sumOfHello + "  ../chart-1.0.0.tgz\n", "hello", false},
		"none":             {"", "hello", false},
	} {
		folder := t.TempDir()
		for file, content := range map[string]string{"SHA256SUMS": test.sums, "chart-1.0.0.tgz": test.content} {
			if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		path, err := findPackagedChart(folder)
		if (err == nil) != test.found || (err == nil && path != filepath.Join(folder, "chart-1.0.0.tgz")) {
			t.Errorf("%s: got %q, %v", name, path, err)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// findPackagedChart returns the path of the chart's package in a folder, as hack/release/chart.sh makes it for a
// release. Its checksum has to be the one in SHA256SUMS beside it, as for a person who has downloaded both.
func findPackagedChart(folder string) (string, error) {
	sums, err := os.ReadFile(filepath.Join(folder, "SHA256SUMS"))
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(sums))
	want, name, found := strings.Cut(line, "  ")
	if !found || filepath.Ext(name) != ".tgz" || filepath.Base(name) != name {
		return "", fmt.Errorf("SHA256SUMS in %s has not the one line of a chart's package: %q", folder, line)
	}
	path := filepath.Join(folder, name)
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != want {
		return "", fmt.Errorf("the checksum of %s is %s, want %s", path, got, want)
	}
	return path, nil
}

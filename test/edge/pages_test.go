// SPDX-License-Identifier: Apache-2.0

package edge_test

import (
	"os"
	"strings"
	"testing"
)

const (
	edgesPage           = "../../docs/guides/edges.md"
	troubleshootingPage = "../../docs/operations/troubleshooting.md"
)

func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sampleOf is the page's configuration of nginx.
func sampleOf(t *testing.T, page string) string {
	t.Helper()
	_, after, found := strings.Cut(readPage(t, page), "```nginx\n")
	sample, _, closed := strings.Cut(after, "```\n")
	if !found || !closed {
		t.Fatalf("%s has no sample of nginx", page)
	}
	return sample
}

// edit is a text and what replaces it.
type edit struct{ old, new string }

// apply makes the edits in a configuration. Each text must be there.
func apply(t *testing.T, config string, edits ...edit) string {
	t.Helper()
	for _, e := range edits {
		if !strings.Contains(config, e.old) {
			t.Fatalf("%q is not in the configuration:\n%s", e.old, config)
		}
		config = strings.ReplaceAll(config, e.old, e.new)
	}
	return config
}

// checkEntry looks whether the reason's entry in troubleshooting says what to do.
func checkEntry(t *testing.T, reason string, words []string) {
	t.Helper()
	_, after, found := strings.Cut(readPage(t, troubleshootingPage), "\n### "+reason+"\n")
	if !found {
		t.Errorf("%s has no entry of %s", troubleshootingPage, reason)
		return
	}
	entry, _, _ := strings.Cut(after, "\n### ")
	entry = strings.Join(strings.Fields(entry), " ")
	for _, word := range words {
		if !strings.Contains(entry, word) {
			t.Errorf("the entry of %s does not say %q: %s", reason, word, entry)
		}
	}
}

// checkTable looks whether the page of edges says that an answer becomes the reason.
func checkTable(t *testing.T, answer, reason string) {
	t.Helper()
	for line := range strings.Lines(readPage(t, edgesPage)) {
		cells := strings.Split(line, " | ")
		if len(cells) == 3 && strings.Contains(cells[0], answer) && strings.Contains(cells[1], "["+reason+"]") {
			return
		}
	}
	t.Errorf("the table of %s does not say that %q becomes %s", edgesPage, answer, reason)
}

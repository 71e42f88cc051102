// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"html"
	"os"
	"testing"
)

// Escape returns a text as it is written in SVG.
func Escape(text string) string { return html.EscapeString(text) }

// CompareForTest compares a drawing with the file at a path, or writes it if update is true.
func CompareForTest(t testing.TB, path, drawing string, update bool) {
	t.Helper()
	if update {
		if err := os.WriteFile(path, []byte(drawing), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	committed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != drawing {
		t.Errorf("%s does not show what is drawn now: run make pictures, and look at it", path)
	}
}

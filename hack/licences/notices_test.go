// SPDX-License-Identifier: Apache-2.0

package licences

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Shared terms are written once, terms and notices of a package beside those of its module, and two
// runs write the same.
func TestWriteNotices(t *testing.T) {
	t.Parallel()
	shared := apacheTerms + " of all"
	goRoot, first, second := t.TempDir(), t.TempDir(), t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(goRoot, "LICENSE"):          bsdTerms,
		filepath.Join(goRoot, "PATENTS"):          "a grant of patents",
		filepath.Join(first, "LICENSE"):           shared,
		filepath.Join(first, "NOTICE"):            "made by first",
		filepath.Join(first, "license.go"):        "package first",
		filepath.Join(first, "forked", "COPYING"): mitTerms,
		filepath.Join(second, "LICENSE.txt"):      strings.ReplaceAll(shared, "\n", "\r\n") + "\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	modules := []Module{
		{"example.com/first", "v1.0.0", []string{first, filepath.Join(first, "forked")}},
		{"example.com/second", "v2.0.0", []string{second}},
	}
	var one, other strings.Builder
	for _, output := range []*strings.Builder{&one, &other} {
		if err := WriteNotices(output, modules, goRoot); err != nil {
			t.Fatal(err)
		}
	}
	text := one.String()
	if text != other.String() {
		t.Error("two runs write different texts")
	}
	for _, part := range []string{
		"example.com/first v1.0.0\nexample.com/second v2.0.0\n\n" + shared + "\n",
		"example.com/first v1.0.0\n\nmade by first\n", "example.com/first v1.0.0\n\n" + mitTerms + "\n",
		bsdTerms, "a grant of patents",
	} {
		if strings.Count(text, part) != 1 {
			t.Errorf("%q is there %d times, want once, in:\n%s", part, strings.Count(text, part), text)
		}
	}
	if strings.Contains(text, "package first") {
		t.Error("Go code was taken for terms")
	}
	if err := WriteNotices(&one, []Module{{"example.com/none", "v1.0.0", []string{t.TempDir()}}}, goRoot); err == nil {
		t.Error("a module without terms is no error")
	}
}

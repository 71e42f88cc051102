// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository's folder, seen from this package.
const root = "../.."

// file is a text file of the repository.
type file struct {
	path string // from the root, with slashes
	text string
}

// isTest reports whether `go test` is what compiles a Go file.
func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// eachLine calls visit for every line with its number, from 1.
func (f file) eachLine(visit func(number int, line string)) {
	for i, line := range strings.Split(f.text, "\n") {
		visit(i+1, line)
	}
}

// readFiles returns all files with an extension, without build output and Git's files.
func readFiles(t *testing.T, extension string) []file {
	t.Helper()
	var found []file
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin"):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != extension:
			return nil
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		found = append(found, file{filepath.ToSlash(relative), string(text)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no %s file below %s", extension, root)
	}
	return found
}

// readPage returns one page by its path from the root.
func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

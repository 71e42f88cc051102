// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/*.golden as the output is now")

// compareGolden compares a text with a golden file.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(goldenPath(name), []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(readGolden(t, name), got); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", goldenPath(name), diff)
	}
}

func goldenPath(name string) string { return filepath.Join("testdata", name+".golden") }

// readGolden returns the wanted text. With -update it may be missing.
func readGolden(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(goldenPath(name))
	if err != nil && !*update {
		t.Fatal(err)
	}
	return string(text)
}

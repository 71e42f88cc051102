// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The drawing of the architecture in the README shows each package, and none that is not there.
func TestTheHouseHasAllPackages(t *testing.T) {
	t.Parallel()
	drawing, err := os.ReadFile(root + "/docs/images/house.svg")
	if err != nil {
		t.Fatal(err)
	}
	var drawn []string
	for _, match := range regexp.MustCompile(`<text class="package"[^>]*>([^<]+)<`).FindAllSubmatch(drawing, -1) {
		drawn = append(drawn, string(match[1]))
	}
	packages := []string{"api", "controllers"}
	for _, parent := range []string{"cmd", "internal"} {
		entries, err := os.ReadDir(filepath.Join(root, parent))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			packages = append(packages, entry.Name())
		}
	}
	slices.Sort(drawn)
	slices.Sort(packages)
	if diff := cmp.Diff(packages, drawn); diff != "" {
		t.Errorf("docs/images/house.svg (-packages +drawn):\n%s", diff)
	}
}

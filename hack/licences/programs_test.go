// SPDX-License-Identifier: Apache-2.0

package licences

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a release has depends on the platforms that it is built for.
func TestLicencesAreThoseOfTheReleasedPlatforms(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("../release/build.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range Released {
		variable := map[string]string{"operator": "PLATFORMS", "plugin": "PLUGIN_PLATFORMS"}[program.Name]
		match := regexp.MustCompile(`\{` + variable + `:=([^}]*)\}`).FindSubmatch(script)
		if match == nil {
			t.Fatalf("hack/release/build.sh has no default for %s", variable)
		}
		built := strings.FieldsFunc(string(match[1]), func(r rune) bool { return r == ' ' || r == ',' })
		if !slices.Equal(built, program.Platforms) {
			t.Errorf("the %s is built for %v, its licences are those of %v", program.Name, built, program.Platforms)
		}
	}
}

// Files with terms are looked for beside each package that is compiled in, and above it in its module.
func TestFoldersOfAModule(t *testing.T) {
	t.Parallel()
	module := &Module{}
	module.addFolders("/m", "/m/a/b")
	module.addFolders("/m", "/m/a/c")
	module.addFolders("/m", "/m")
	slices.Sort(module.Folders)
	if want := []string{"/m", "/m/a", "/m/a/b", "/m/a/c"}; !slices.Equal(module.Folders, want) {
		t.Errorf("got %q, want %q", module.Folders, want)
	}
}

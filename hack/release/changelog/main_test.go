// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"
)

const aChangelog = `# Changelog

About it.

## Unreleased

- next

## [0.10.0] - 2026-12-01

### Added

- ten

## 0.1.0 - 2026-10-01

- one
## 0.0.1
`

func TestFindSection(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"Unreleased": "- next",
		"0.10.0":     "### Added\n\n- ten",
		"0.1.0":      "- one",
		"0.0.1":      "",
		"0.1":        "",
		"0.2.0":      "",
	} {
		if got := findSection(aChangelog, version); got != want {
			t.Errorf("%s: got %q, want %q", version, got, want)
		}
	}
}

// A version without a section is an error, unless what is unreleased may stand for it.
func TestRun(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/CHANGELOG.md"
	if err := os.WriteFile(file, []byte(aChangelog), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		version          string
		unreleased, fail bool
	}{
		{"v0.10.0", false, false}, {"v0.2.0", false, true}, {"v0.2.0", true, false}, {"", true, true},
	} {
		if err := run(test.version, test.unreleased, []string{file}); (err != nil) != test.fail {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package cli

import "testing"

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		plugin, crds string
		older        bool
	}{
		"the same":                     {"v0.2.0", "0.2.0", false},
		"older":                        {"v0.2.0", "0.3.0", true},
		"older by a patch":             {"v0.2.0", "0.2.1", true},
		"numbers, not texts":           {"v0.9.0", "0.10.0", true},
		"newer":                        {"v0.3.0", "0.2.0", false},
		"commits after it":             {"v0.2.0-4-g1b2c3d4-dirty", "0.2.0", false},
		"in development":               {"v0.0.0-20261030153154-30a33513ff6d", "0.2.0", false},
		"without a version":            {"dev", "0.2.0", false},
		"a commit":                     {"9790fce", "0.2.0", false},
		"CRDs without a version":       {"v0.2.0", "", false},
		"CRDs with an unclear version": {"v0.2.0", "next", false},
	} {
		if got := compareVersions(test.plugin, test.crds); (got != "") != test.older {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTitleVersion(t *testing.T) {
	t.Parallel()
	for title, want := range map[string]string{
		"CoderSession of the Coder Session Operator 0.2.0": "0.2.0",
		"CoderSession of the Coder Session Operator":       "",
		"": "",
	} {
		if got := titleVersion(title); got != want {
			t.Errorf("%q: %q, want %q", title, got, want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package release

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// aStatement is a statement of provenance as hack/release/provenance indents it.
const aStatement = `{
  "_type": "https://in-toto.io/Statement/v1",
  "subject": [
    {
      "name": "file"
    }
  ],
  "predicateType": "https://slsa.dev/provenance/v1",
  "predicate": {
    "buildDefinition": {
      "buildType": "here"
    }
  }
}
`

// fakeCosign notes its arguments, keeps the predicate that they name, and writes the bundle as cosign does, for its
// user only.
const fakeCosign = `#!/bin/sh
printf '%s\n' "$*" >>"$NOTES"
while [ $# -gt 0 ]; do
	case $1 in
	--predicate) cp "$2" "$NOTES.predicate" ;;
	--bundle) (umask 077 && echo signature >"$2") ;;
	esac
	shift
done
`

// script returns the path of a program of hack/release. It reads it, because go test takes a result out of its cache
// unless a file that the test itself has read is another one.
func script(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("hack", "release", name)
	readFile(t, path)
	return filepath.Join(root, path)
}

// runSign runs hack/release/sign.sh for a release, with a cosign that only takes notes if there is one. It
// returns what the script prints and what cosign noted.
func runSign(t *testing.T, withCosign bool, environment []string, args ...string) (output, notes string) {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "provenance.intoto.json"), []byte(aStatement), 0o600); err != nil {
		t.Fatal(err)
	}
	programs := filepath.Join(folder, "programs")
	path := programs
	if err := os.Mkdir(programs, 0o755); err != nil {
		t.Fatal(err)
	}
	if withCosign {
		path += ":/usr/bin:/bin" // what the script itself uses
		//nolint:gosec // It is a program.
		if err := os.WriteFile(filepath.Join(programs, "cosign"), []byte(fakeCosign), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args = append([]string{script(t, "sign.sh"), args[0], folder}, args[1:]...)
	command := exec.CommandContext(t.Context(), "/bin/sh", args...)
	command.Env = slices.Concat(environment, []string{"PATH=" + path, "NOTES=" + filepath.Join(folder, "notes")})
	printed, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	noted, err := os.ReadFile(filepath.Join(folder, "notes"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if predicate, err := os.ReadFile(filepath.Join(folder, "notes.predicate")); err == nil {
		checkPredicate(t, predicate)
	}
	signature, err := os.Stat(filepath.Join(folder, "SHA256SUMS.sigstore.json"))
	if err == nil && signature.Mode().Perm() != 0o644 {
		t.Errorf("the signature has the mode %v, want one with which everybody may read it", signature.Mode())
	}
	return string(printed), strings.ReplaceAll(string(noted), folder, "")
}

// checkPredicate checks that a predicate is that of aStatement.
func checkPredicate(t *testing.T, text []byte) {
	t.Helper()
	var predicate struct {
		BuildDefinition struct {
			BuildType string `json:"buildType"`
		} `json:"buildDefinition"`
	}
	if err := json.Unmarshal(text, &predicate); err != nil || predicate.BuildDefinition.BuildType != "here" {
		t.Errorf("the predicate is no part of the statement (%v):\n%s", err, text)
	}
}

// Nothing is signed without a key, an identity or cosign, and it is said.
func TestSigningIsLeftOutWithAWord(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		withCosign  bool
		environment []string
		want        string
	}{
		"no key":    {true, nil, "not signed: there is no key and no identity"},
		"no cosign": {false, []string{"COSIGN_KEY=key"}, "not signed: there is no cosign"},
	} {
		output, notes := runSign(t, test.withCosign, test.environment, "sums")
		if !strings.Contains(output, test.want) || notes != "" {
			t.Errorf("%s: cosign was called with %q, printed was %q, want %q", name, notes, output, test.want)
		}
	}
}

func TestSigningByKeyOrIdentity(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environment, args []string
		want              []string
	}{
		"sums by key": {
			[]string{"COSIGN_KEY=a key", "COSIGN_FLAGS=--more --flags"}, []string{"sums"},
			[]string{"sign-blob --yes --key a key --more --flags --bundle /SHA256SUMS.sigstore.json /SHA256SUMS"},
		},
		"sums by GitHub's identity": {
			[]string{"ACTIONS_ID_TOKEN_REQUEST_URL=https://example.com"}, []string{"sums"},
			[]string{"sign-blob --yes --bundle /SHA256SUMS.sigstore.json /SHA256SUMS"},
		},
		"image": {
			[]string{"SIGSTORE_ID_TOKEN=token"}, []string{"image", "registry.example.com/a@sha256:b"},
			[]string{"sign --yes registry.example.com/a@sha256:b",
				"attest --yes --type slsaprovenance1 --predicate", " registry.example.com/a@sha256:b\n"},
		},
	} {
		_, notes := runSign(t, true, test.environment, test.args...)
		for _, want := range test.want {
			if !strings.Contains(notes, want) {
				t.Errorf("%s: cosign was called with\n%swant %q", name, notes, want)
			}
		}
		if strings.Contains(notes, "token") {
			t.Errorf("%s: the token is on the command line: %s", name, notes)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// aCRD is what controller-gen writes of a kind with fields of all shapes.
const aCRD = `---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  annotations:
    controller-gen.kubebuilder.io/version: v0.23.0
  name: things.example.com
spec:
  names:
    kind: Thing
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        description: A thing.
        properties:
          spec:
            properties:
              sizes:
                additionalProperties:
                  properties:
                    height:
                      format: int32
                      type: integer
                  type: object
                type: object
              parts:
                items:
                  properties:
                    port:
                      anyOf:
                      - type: integer
                      - type: string
                      x-kubernetes-int-or-string: true
                  type: object
                type: array
              tags:
                items:
                  type: string
                type: array
            type: object
        type: object
`

const fieldsOfACRD = `Thing v1 spec object
Thing v1 spec.parts []object
Thing v1 spec.parts[].port int-or-string
Thing v1 spec.sizes map[]object
Thing v1 spec.sizes[*].height integer/int32
Thing v1 spec.tags []string
`

func TestWriteCompletesTheCRDs(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	crd := filepath.Join(root, crdFolder, "things.yaml")
	for path, content := range map[string]string{
		filepath.Join(root, chartFile): "version: 1.2.3\n",
		crd:                            aCRD,
		filepath.Join(root, fieldsFolder, "1.1.0.txt"): "left alone",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(root); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(aCRD, "  name: things", "  labels:\n    app.kubernetes.io/version: 1.2.3\n  name: things", 1)
	want = strings.Replace(want, "        description: A",
		"        title: Thing of the Coder Session Operator 1.2.3\n        description: A", 1)
	for path, want := range map[string]string{
		crd: want,
		filepath.Join(root, fieldsFolder, "1.2.3.txt"): fieldsOfACRD,
		filepath.Join(root, fieldsFolder, "1.1.0.txt"): "left alone",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", path, err, got, want)
		}
	}
	if err := write(root); err == nil {
		t.Error("CRDs that are complete already were completed once more")
	}
}

func TestCheckFindsFieldsThatAreGone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		earlier, now, changelog string
		// faults are parts of the error; none: there must be no error.
		faults []string
	}{
		"all there":       {earlier: "Thing v1 spec.a string", now: "Thing v1 spec.a string\nThing v1 spec.b string"},
		"gone":            {earlier: "Thing v1 spec.a string", faults: []string{"spec.a of 0.9.0 is gone: keep it"}},
		"another type":    {"Thing v1 spec.a string", "Thing v1 spec.a object", "", []string{"was string and is object"}},
		"of another kind": {"Thing v1 spec.a string", "Other v1 spec.a string", "", []string{"spec.a of 0.9.0 is gone"}},
		"version gone":    {"Thing v1 spec.a string", "Thing v2 spec.a string", "", []string{"spec.a of 0.9.0 is gone"}},
		"two":             {earlier: "Thing v1 spec.a string\nThing v1 spec.b string", faults: []string{"spec.a", "spec.b"}},
		"named":           {earlier: "Thing v1 spec.a string", changelog: "| Thing | `spec.a` | `spec.b` |"},
		"named for both":  {earlier: "Thing v1 spec.a string", changelog: "| both | `spec.a` | `spec.b` |"},
		"type named":      {"Thing v1 spec.a string", "Thing v1 spec.a object", "`spec.a` of a Thing is an object.", nil},
		"above it named":  {earlier: "Thing v1 spec.a[].b string", changelog: "- Thing: `spec.a` is gone."},
		"named for another kind": {
			earlier: "Thing v1 spec.a string", changelog: "| Other | `spec.a` | `spec.b` |", faults: []string{"spec.a"},
		},
		"only spec is named": {
			earlier: "Thing v1 spec.a string", changelog: "The `spec` of a Thing", faults: []string{"spec.a"},
		},
		"only a longer name": {
			earlier: "Thing v1 spec.a string", changelog: "Thing `spec.ab`", faults: []string{"spec.a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := check(fstest.MapFS{
				chartFile:                    {Data: []byte("version: 0.10.0\n")},
				changelogFile:                {Data: []byte(test.changelog + "\n")},
				fieldsFolder + "/0.9.0.txt":  {Data: []byte(test.earlier + "\n")},
				fieldsFolder + "/0.10.0.txt": {Data: []byte(test.now)},
				fieldsFolder + "/0.11.0.txt": {Data: []byte("Thing v1 spec.later string\n")},
			})
			if (err == nil) != (len(test.faults) == 0) {
				t.Fatalf("got %v, want %q", err, test.faults)
			}
			for _, fault := range test.faults {
				if !strings.Contains(err.Error(), fault) {
					t.Errorf("got %v, want %q", err, fault)
				}
			}
		})
	}
}

// A version whose list was removed would not be compared.
func TestEveryEarlierVersionHasAList(t *testing.T) {
	t.Parallel()
	files := os.DirFS("../..")
	for _, version := range earlierVersions(t) {
		if _, err := readFields(files, fieldsFolder+"/"+version+".txt"); err != nil {
			t.Error(err)
		}
	}
}

// earlierVersions are those that the page about upgrades and the changelog tell of.
func earlierVersions(t *testing.T) []string {
	t.Helper()
	versions := []string{"0.1.0"}
	changelog, err := os.ReadFile("../../" + changelogFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(changelog)) {
		if heading, found := strings.CutPrefix(line, "## "); found && !strings.HasPrefix(heading, "Unreleased") {
			versions = append(versions, strings.Trim(strings.Fields(heading)[0], "[]v"))
		}
	}
	return versions
}

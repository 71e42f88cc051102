// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newOptions returns the command line for a release of two files.
func newOptions(t *testing.T) options {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"b.tgz", "a.tar.gz"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return options{
		folder: folder, version: "v1.2.3", commit: "0123abc", repository: "https://example.com/owner/name",
		image: "registry.example.com/owner/name", digest: "sha256:" + strings.Repeat("ab", 32),
		builder: "https://example.com/builder",
	}
}

func TestTheStatementIsAboutAllFilesAndTheImage(t *testing.T) {
	t.Parallel()
	o := newOptions(t)
	var first, second bytes.Buffer
	if err := o.writeStatement(&first); err != nil {
		t.Fatal(err)
	}
	if err := o.writeStatement(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("two runs differ (%v)", err)
	}
	var made statement
	if err := json.Unmarshal(first.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	const sumOfHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	var subjects []string
	for _, subject := range made.Subject {
		subjects = append(subjects, subject.Name+" "+subject.Digest["sha256"])
	}
	want := []string{
		"a.tar.gz " + sumOfHello, "b.tgz " + sumOfHello, o.image + " " + strings.Repeat("ab", 32),
	}
	if !slices.Equal(subjects, want) {
		t.Errorf("subjects are %q, want %q", subjects, want)
	}
	if made.Type != "https://in-toto.io/Statement/v1" || made.PredicateType != "https://slsa.dev/provenance/v1" {
		t.Errorf("the types are %s and %s", made.Type, made.PredicateType)
	}
	source := made.Predicate.BuildDefinition.ResolvedDependencies[0]
	if source.URI != "git+https://example.com/owner/name@refs/tags/v1.2.3" || source.Digest["gitCommit"] != "0123abc" {
		t.Errorf("the source is %+v", source)
	}
	if run := made.Predicate.RunDetails; run.Builder.ID != o.builder || run.Metadata != nil {
		t.Errorf("the run is %+v", run)
	}
	o.invocation = "https://example.com/runs/1"
	var third bytes.Buffer
	if err := o.writeStatement(&third); err != nil || !strings.Contains(third.String(), o.invocation) {
		t.Errorf("the run is not named (%v):\n%s", err, third.String())
	}
}

func TestAStatementIsNotMadeOfHalf(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*options){
		"no digest":    func(o *options) { o.digest = "" },
		"short digest": func(o *options) { o.digest = "sha256:ab" },
		"no commit":    func(o *options) { o.commit = "" },
		"no builder":   func(o *options) { o.builder = "" },
		"no files":     func(o *options) { o.folder = t.TempDir() },
	} {
		o := newOptions(t)
		change(&o)
		if err := o.writeStatement(io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

// Command provenance prints how the files of a release were made: an in-toto statement (v1) about all
// of them and about the image, with the predicate of SLSA provenance (v1).
//
//	provenance -folder bin/release -version v0.3.0 -commit <commit> -repository https://github.com/owner/name \
//	    -image ghcr.io/owner/name -digest sha256:<of the index> -builder <URL> -invocation <URL>
//
// There is no time in it: the same files and flags make the same statement.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// statement is an in-toto statement, https://in-toto.io/Statement/v1.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     predicate  `json:"predicate"`
}

// resource is a ResourceDescriptor of in-toto.
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// predicate is https://slsa.dev/provenance/v1.
type predicate struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType            string            `json:"buildType"`
	ExternalParameters   map[string]string `json:"externalParameters"`
	ResolvedDependencies []resource        `json:"resolvedDependencies"`
}

type runDetails struct {
	Builder  builder        `json:"builder"`
	Metadata *buildMetadata `json:"metadata,omitempty"`
}

type builder struct {
	ID string `json:"id"`
}

type buildMetadata struct {
	InvocationID string `json:"invocationId"`
}

// options are the command line.
type options struct {
	folder, version, commit, repository, image, digest, builder, invocation string
}

func main() {
	var o options
	flag.StringVar(&o.folder, "folder", "", "folder with the files of the release")
	flag.StringVar(&o.version, "version", "", "the release's version, which is its tag")
	flag.StringVar(&o.commit, "commit", "", "commit that was built")
	flag.StringVar(&o.repository, "repository", "", "URL of the repository")
	flag.StringVar(&o.image, "image", "", "the image's name, without a tag")
	flag.StringVar(&o.digest, "digest", "", "digest of the image's index, sha256:...")
	flag.StringVar(&o.builder, "builder", "", "URL of what built it")
	flag.StringVar(&o.invocation, "invocation", "", "URL of this run of the builder, if it has one")
	flag.Parse()
	if err := o.writeStatement(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "provenance:", err)
		os.Exit(1)
	}
}

// writeStatement writes the statement about all files of the folder.
func (o options) writeStatement(output io.Writer) error {
	digest, found := strings.CutPrefix(o.digest, "sha256:")
	if !found || len(digest) != hex.EncodedLen(sha256.Size) {
		return fmt.Errorf("-digest is %q, want sha256: and the sum", o.digest)
	}
	for _, required := range []string{o.version, o.commit, o.repository, o.image, o.builder} {
		if required == "" {
			return errors.New("version, commit, repository, image and builder are required")
		}
	}
	subjects, err := listSubjects(o.folder)
	if err != nil {
		return err
	}
	subjects = append(subjects, resource{Name: o.image, Digest: map[string]string{"sha256": digest}})
	made := statement{
		Type: "https://in-toto.io/Statement/v1", Subject: subjects,
		PredicateType: "https://slsa.dev/provenance/v1",
		Predicate: predicate{
			BuildDefinition: buildDefinition{
				BuildType: o.repository + "/blob/" + o.version + "/docs/contributing/release.md#build-type",
				ExternalParameters: map[string]string{
					"command": "make release VERSION=" + o.version, "repository": o.repository, "ref": "refs/tags/" + o.version,
					"image": o.image,
				},
				ResolvedDependencies: []resource{
					{URI: "git+" + o.repository + "@refs/tags/" + o.version, Digest: map[string]string{"gitCommit": o.commit}},
					{URI: "pkg:golang/stdlib@" + strings.TrimPrefix(runtime.Version(), "go")},
				},
			},
			RunDetails: runDetails{Builder: builder{ID: o.builder}},
		},
	}
	if o.invocation != "" {
		made.Predicate.RunDetails.Metadata = &buildMetadata{o.invocation}
	}
	encoder := json.NewEncoder(output)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(made)
}

// listSubjects returns the files of a folder with their digests, sorted by name.
func listSubjects(folder string) ([]resource, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var subjects []resource
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		subjects = append(subjects, resource{
			Name: entry.Name(), Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])},
		})
	}
	if len(subjects) == 0 {
		return nil, fmt.Errorf("there is no file in %s", folder)
	}
	return subjects, nil
}

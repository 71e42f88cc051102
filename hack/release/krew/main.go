// SPDX-License-Identifier: Apache-2.0

// Command krew prints the manifest that krew, the manager of kubectl plugins, installs a release of
// kubectl coder by: the plugin's archives in a folder, with their checksums and platforms.
//
//	krew -version v0.3.0 -repository https://github.com/owner/name -folder bin/release
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	shortDescription = "Look after Coder tokens in the cluster"

	description = `Shows which credentials of Coder the Coder Session Operator keeps in the cluster,
what is wrong with them and what to do about it. Helps with consent in the
browser, renewal, and migration from Secrets made by hand. Talks to the
Kubernetes API alone, with your own rights.
`

	caveats = `The cluster needs the Coder Session Operator; see the homepage.

On Linux and macOS, kubectl completes names with a script in the PATH:

  bin="${KREW_ROOT:-$HOME/.krew}/bin"
  kubectl coder completion kubectl > "$bin/kubectl_complete-coder"
  chmod +x "$bin/kubectl_complete-coder"
`
)

// manifest is a Plugin of krew.googlecontainertools.github.com/v1alpha2.
type manifest struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   metadata     `json:"metadata"`
	Spec       manifestSpec `json:"spec"`
}

type metadata struct {
	Name string `json:"name"`
}

type manifestSpec struct {
	Version          string     `json:"version"`
	Homepage         string     `json:"homepage"`
	ShortDescription string     `json:"shortDescription"`
	Description      string     `json:"description"`
	Caveats          string     `json:"caveats"`
	Platforms        []platform `json:"platforms"`
}

// platform is one archive.
type platform struct {
	Selector selector `json:"selector"`
	URI      string   `json:"uri"`
	SHA256   string   `json:"sha256"`
	// Bin is the program's path in the archive.
	Bin string `json:"bin"`
}

type selector struct {
	MatchLabels labels `json:"matchLabels"`
}

// labels are GOOS and GOARCH.
type labels struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
}

func main() {
	version := flag.String("version", "", "the release's version, which is its tag")
	repository := flag.String("repository", "", "URL of the repository on GitHub that has the release")
	folder := flag.String("folder", "", "folder with the archives of the plugin")
	flag.Parse()
	if err := writeManifest(os.Stdout, *version, *repository, *folder); err != nil {
		fmt.Fprintln(os.Stderr, "krew:", err)
		os.Exit(1)
	}
}

// writeManifest writes the manifest of the archives of a version.
func writeManifest(output io.Writer, version, repository, folder string) error {
	prefix := "kubectl-coder_" + version + "_"
	files, err := filepath.Glob(filepath.Join(folder, prefix+"*.tar.gz")) // sorted
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there is no archive %s<os>_<architecture>.tar.gz in %s", prefix, folder)
	}
	plugin := manifest{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2",
		Kind:       "Plugin",
		Metadata:   metadata{Name: "coder"},
		Spec: manifestSpec{
			Version: version, Homepage: repository,
			ShortDescription: shortDescription, Description: description, Caveats: caveats,
		},
	}
	for _, file := range files {
		name := filepath.Base(file)
		system, architecture, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, prefix), ".tar.gz"), "_")
		archive, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		program, err := findProgram(archive)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		sum := sha256.Sum256(archive)
		plugin.Spec.Platforms = append(plugin.Spec.Platforms, platform{
			Selector: selector{MatchLabels: labels{OS: system, Arch: architecture}},
			URI:      repository + "/releases/download/" + version + "/" + name,
			SHA256:   hex.EncodeToString(sum[:]),
			Bin:      program,
		})
	}
	content, err := yaml.Marshal(plugin)
	if err != nil {
		return err
	}
	_, err = output.Write(content)
	return err
}

// findProgram returns the name that the plugin has in an archive: on Windows it has an extension.
func findProgram(archive []byte) (string, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return "", err
	}
	files := tar.NewReader(unzipped)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return "", errors.New("there is no kubectl-coder in it")
		}
		if err != nil {
			return "", err
		}
		if strings.TrimSuffix(header.Name, ".exe") == "kubectl-coder" {
			return header.Name, nil
		}
	}
}

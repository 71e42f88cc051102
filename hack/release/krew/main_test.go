// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// writeArchive writes an archive of files that each contain their own and the archive's name.
func writeArchive(t *testing.T, folder, name string, files ...string) {
	t.Helper()
	buffer := &bytes.Buffer{}
	zipped := gzip.NewWriter(buffer)
	archive := tar.NewWriter(zipped)
	for _, file := range files {
		content := name + file
		header := &tar.Header{Name: file, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	for _, closer := range []func() error{archive.Close, zipped.Close} {
		if err := closer(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, name), buffer.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestManifestHasChecksumsOfTheArchives(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	programs := map[string]string{ // by platform
		"darwin/arm64": "kubectl-coder", "linux/amd64": "kubectl-coder", "windows/amd64": "kubectl-coder.exe",
	}
	for platform, program := range programs {
		name := "kubectl-coder_v0.3.0_" + strings.ReplaceAll(platform, "/", "_") + ".tar.gz"
		writeArchive(t, folder, name, "LICENSE", program, "kubectl_complete-coder")
	}
	writeArchive(t, folder, "kubectl-coder_v0.2.0_linux_amd64.tar.gz", "kubectl-coder")

	output := &bytes.Buffer{}
	if err := writeManifest(output, "v0.3.0", "https://github.example.com/owner/name", folder); err != nil {
		t.Fatal(err)
	}
	var got manifest
	if err := yaml.UnmarshalStrict(output.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || got.Kind != "Plugin" ||
		got.Metadata.Name != "coder" || got.Spec.Version != "v0.3.0" ||
		got.Spec.Homepage != "https://github.example.com/owner/name" {
		t.Errorf("the manifest is\n%s", output)
	}
	// krew-index refuses longer ones.
	if length := len(got.Spec.ShortDescription); length == 0 || length > 50 {
		t.Errorf("the short description has %d characters, want 1 to 50", length)
	}
	for _, platform := range got.Spec.Platforms {
		key := platform.Selector.MatchLabels.OS + "/" + platform.Selector.MatchLabels.Arch
		if platform.Bin != programs[key] {
			t.Errorf("the program for %s is %q, want %q", key, platform.Bin, programs[key])
		}
		delete(programs, key)
		folderURL, name := path.Split(platform.URI)
		if folderURL != "https://github.example.com/owner/name/releases/download/v0.3.0/" {
			t.Errorf("the archive for %s is at %s", key, platform.URI)
		}
		archive, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(archive)); platform.SHA256 != sum {
			t.Errorf("the checksum of %s is %s, want %s", name, platform.SHA256, sum)
		}
	}
	if len(programs) > 0 {
		t.Errorf("the manifest leaves out %v", programs)
	}
}

func TestManifestNeedsArchivesWithTheProgram(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		write func(folder string)
		want  string
	}{
		"no archive": {func(string) {}, "there is no archive kubectl-coder_v0.3.0_<os>_<architecture>.tar.gz in "},
		"no program": {
			func(folder string) { writeArchive(t, folder, "kubectl-coder_v0.3.0_linux_amd64.tar.gz", "LICENSE") },
			"read kubectl-coder_v0.3.0_linux_amd64.tar.gz: there is no kubectl-coder in it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			test.write(folder)
			output := &bytes.Buffer{}
			err := writeManifest(output, "v0.3.0", "https://github.example.com/owner/name", folder)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || output.Len() > 0 {
				t.Errorf("got %v, want %q; wrote %q", err, test.want, output)
			}
		})
	}
}

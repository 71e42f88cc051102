// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	reference "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// newOptions returns the command line for two architectures, whose files it writes.
func newOptions(t *testing.T) options {
	t.Helper()
	folder := t.TempDir()
	for _, architecture := range []string{"amd64", "arm64"} {
		for _, file := range imageFiles {
			path := filepath.Join(folder, architecture, file.name)
			if strings.HasSuffix(file.name, "/") {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(file.name+" of "+architecture), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return options{
		build:         build{folder: folder, version: "v1.2.3", revision: "abc", created: time.Unix(1e9, 0).UTC()},
		architectures: []string{"amd64", "arm64"},
	}
}

// runPack runs the command, and returns what it prints.
func runPack(t *testing.T, o options) string {
	t.Helper()
	var output bytes.Buffer
	if err := o.run(&output); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(output.String())
}

func TestTheLayoutHasAnIndexOfBothArchitectures(t *testing.T) {
	t.Parallel()
	o := newOptions(t)
	folder := t.TempDir()
	first, second := filepath.Join(folder, "first.tar"), filepath.Join(folder, "second.tar")
	o.layout = first
	digest := runPack(t, o)
	o.folder = copyFolder(t, o.folder)
	o.layout = second
	if again := runPack(t, o); again != digest {
		t.Errorf("the digest is %s, and %s when the same files are packed again", digest, again)
	}
	if !bytes.Equal(readFile(t, first), readFile(t, second)) {
		t.Error("two archives of the same files differ")
	}
	root := unpackLayout(t, first)
	manifest, err := root.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != digest {
		t.Fatalf("the layout has %v, want the index %s", manifest.Manifests, digest)
	}
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	checkIndex(t, index)
}

// checkIndex checks the images of an index of newOptions.
func checkIndex(t *testing.T, index v1.ImageIndex) {
	t.Helper()
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, entry := range manifest.Manifests {
		platforms = append(platforms, entry.Platform.String())
		if entry.ArtifactType != "" {
			t.Errorf("the image for %s is entered as an artifact of type %s", entry.Platform, entry.ArtifactType)
		}
		image, err := index.Image(entry.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, image, entry.Platform.Architecture)
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(platforms, want) {
		t.Errorf("the platforms are %v, want %v", platforms, want)
	}
}

// checkImage checks files and configuration of an image.
func checkImage(t *testing.T, image v1.Image, architecture string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != architecture || config.OS != "linux" || config.Config.User != "65532:65532" ||
		!slices.Equal(config.Config.Entrypoint, []string{"/coder-session-operator"}) || config.Created.Unix() != 1e9 ||
		config.Config.Labels["org.opencontainers.image.version"] != "v1.2.3" {
		t.Errorf("the configuration for %s is %+v", architecture, config)
	}
	extracted := mutate.Extract(image)
	defer extracted.Close()
	files := map[string]string{}
	for archive := tar.NewReader(extracted); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = header.FileInfo().Mode().String() + " " + string(content)
	}
	for name, want := range map[string]string{
		"coder-session-operator":        "-rwxr-xr-x coder-session-operator of " + architecture,
		"licenses/THIRD_PARTY_LICENSES": "-rw-r--r-- licenses/THIRD_PARTY_LICENSES of " + architecture,
	} {
		if files[name] != want {
			t.Errorf("%s is %q, want %q", name, files[name], want)
		}
	}
	if len(files) != len(imageFiles) {
		t.Errorf("the files are %v, want those of %v", files, imageFiles)
	}
}

func TestTheArchiveHasTheImageByItsName(t *testing.T) {
	t.Parallel()
	o := newOptions(t)
	o.architectures, o.image, o.archive = []string{"arm64"}, "operator:1", filepath.Join(t.TempDir(), "image.tar")
	runPack(t, o)
	tag, err := reference.NewTag("operator:1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(o.archive, &tag)
	if err != nil {
		t.Fatal(err)
	}
	checkImage(t, image, "arm64")
	o.architectures = []string{"amd64", "arm64"}
	if err := o.run(io.Discard); err == nil {
		t.Error("an archive of two architectures was written")
	}
}

func TestWhatIsPushedHasTheDigestOfTheLayout(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New())
	defer server.Close()
	o := newOptions(t)
	o.layout = filepath.Join(t.TempDir(), "image.tar")
	digest := runPack(t, o)
	o.layout, o.push, o.image = "", true, strings.TrimPrefix(server.URL, "http://")+"/operator:1"
	if pushed := runPack(t, o); pushed != digest {
		t.Errorf("pushed was %s, the layout has %s", pushed, digest)
	}
	tag, err := reference.NewTag(o.image)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(tag)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := index.Digest(); err != nil || got.String() != digest {
		t.Errorf("the registry has %s (%v), want %s", got, err, digest)
	}
	checkIndex(t, index)
}

func unpackLayout(t *testing.T, path string) v1.ImageIndex {
	t.Helper()
	folder := t.TempDir()
	archive := tar.NewReader(bytes.NewReader(readFile(t, path)))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(folder, filepath.Clean("/"+header.Name))
		if header.FileInfo().IsDir() {
			err = os.MkdirAll(target, 0o755)
		} else {
			var content []byte
			if content, err = io.ReadAll(archive); err == nil {
				err = os.WriteFile(target, content, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// copyFolder copies a folder to another path.
func copyFolder(t *testing.T, folder string) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.CopyFS(target, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return target
}

// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/cluster"
)

func TestAnImageIsAnArchiveThatDockerCouldHaveSaved(t *testing.T) {
	t.Parallel()
	files := unpackArchive(t, writeImage(t, newImage(t)))
	var manifest []struct {
		Config   string
		Layers   []string
		RepoTags []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 ||
		len(manifest[0].Layers) != 1 {
		t.Fatalf("the manifest is %s (%v)", files["manifest.json"], err)
	}
	if diff := cmp.Diff([]string{"probe:test"}, manifest[0].RepoTags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	var config map[string]any
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	layer := manifest[0].Layers[0]
	want := map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []any{"/opt/probe", "serve"}, "User": "65532:65532"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []any{"sha256:" + layer[:len(layer)-len(".tar")]}},
	}
	if diff := cmp.Diff(want, config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	got := unpackArchive(t, files[layer])
	if diff := cmp.Diff(map[string][]byte{"opt/": {}, "opt/probe": []byte("a program"), "note": []byte("a note")},
		got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestTheSameFilesMakeTheSameImage(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(writeImage(t, newImage(t)), writeImage(t, newImage(t))) {
		t.Error("two archives of the same files differ")
	}
}

func TestAnImageNeedsFilesAndAnEntrypoint(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*cluster.Image){
		"no entrypoint":   func(i *cluster.Image) { i.Entrypoint = nil },
		"a missing file":  func(i *cluster.Image) { i.Files["/missing"] = "missing" },
		"a relative path": func(i *cluster.Image) { i.Files["probe"] = i.Files["/note"] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := newImage(t)
			change(&broken)
			path := filepath.Join(t.TempDir(), "image.tar")
			if err := cluster.WriteImage(path, broken); err == nil {
				t.Error("no error")
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("there is an archive all the same (%v)", err)
			}
		})
	}
}

// newImage returns an image with two files, which are in a folder of this test.
func newImage(t *testing.T) cluster.Image {
	t.Helper()
	folder := t.TempDir()
	files := map[string]string{}
	for inside, content := range map[string]string{"/opt/probe": "a program", "/note": "a note"} {
		files[inside] = filepath.Join(folder, filepath.Base(inside))
		if err := os.WriteFile(files[inside], []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return cluster.Image{
		Name: "probe:test", Files: files, Entrypoint: []string{"/opt/probe", "serve"}, User: "65532:65532",
	}
}

func writeImage(t *testing.T, image cluster.Image) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := cluster.WriteImage(path, image); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func unpackArchive(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(fmt.Errorf("read the archive: %w", err))
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}

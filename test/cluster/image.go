// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
)

// Image is what an image consists of that is made from nothing, by WriteImage.
type Image struct {
	// Name with its tag, such as "workload:test".
	Name string
	// Files by their absolute paths in the image, each with the path of the file on
	// disk. Permission bits are kept, everything belongs to root.
	Files map[string]string
	// Entrypoint is the program and its first arguments.
	Entrypoint []string
	// User is "uid" or "uid:gid". Empty: root.
	User string
}

// WriteImage writes the image as a docker-archive, without any tool. It is meant for
// the small programs of tests, which need no registry and no base; static ones, since
// there is nothing else in it. The same files make the same image.
func WriteImage(archive string, image Image) error {
	layer, err := image.packLayer()
	if err != nil {
		return fmt.Errorf("make the image %s: %w", image.Name, err)
	}
	content, err := image.packArchive(layer)
	if err != nil {
		return fmt.Errorf("make the image %s: %w", image.Name, err)
	}
	if err := os.WriteFile(archive, content, 0o600); err != nil {
		return fmt.Errorf("write the image %s: %w", image.Name, err)
	}
	return nil
}

// packLayer returns the only layer of the image.
func (i Image) packLayer() ([]byte, error) {
	var entries []entry
	folders := map[string]bool{".": true}
	for _, name := range slices.Sorted(maps.Keys(i.Files)) {
		if !path.IsAbs(name) {
			return nil, fmt.Errorf("%s is not an absolute path", name)
		}
		info, err := os.Stat(i.Files[name])
		if err != nil {
			return nil, err
		}
		content, err := os.ReadFile(i.Files[name])
		if err != nil {
			return nil, err
		}
		inside := strings.TrimPrefix(path.Clean(name), "/")
		entries = append(entries, missingParents(inside, folders)...)
		entries = append(entries, entry{name: inside, mode: info.Mode().Perm(), content: content})
	}
	return writeTar(entries)
}

// missingParents returns the folders above a file that are not in the image yet.
func missingParents(file string, known map[string]bool) []entry {
	var entries []entry
	for folder := path.Dir(file); !known[folder]; folder = path.Dir(folder) {
		known[folder] = true
		entries = append(entries, entry{name: folder + "/", mode: fs.ModeDir | 0o755})
	}
	slices.Reverse(entries)
	return entries
}

// packArchive puts configuration, layer and manifest together as `docker save` does.
func (i Image) packArchive(layer []byte) ([]byte, error) {
	if len(i.Entrypoint) == 0 {
		return nil, errors.New("it has no entrypoint")
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": i.Entrypoint, "User": i.User},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the configuration: %w", err)
	}
	files := []entry{
		{name: digest(config) + ".json", mode: 0o644, content: config},
		{name: digest(layer) + ".tar", mode: 0o644, content: layer},
	}
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": files[0].name, "Layers": []string{files[1].name}, "RepoTags": []string{i.Name},
	}})
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	return writeTar(append(files, entry{name: "manifest.json", mode: 0o644, content: manifest}))
}

// entry of a tar archive. The name of a folder ends in a slash.
type entry struct {
	name    string
	mode    fs.FileMode
	content []byte
}

// writeTar writes a tar archive with no times and no owners in it.
func writeTar(entries []entry) ([]byte, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, entry := range entries {
		header := &tar.Header{Name: entry.name, Mode: int64(entry.mode.Perm()), Size: int64(len(entry.content))}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", entry.name, err)
		}
		if _, err := writer.Write(entry.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", entry.name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return archive.Bytes(), nil
}

func digest(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

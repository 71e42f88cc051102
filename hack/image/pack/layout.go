// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// writeLayout writes an OCI image layout whose only entry is the index, as a tar archive with sorted
// names and one time.
func writeLayout(path string, index v1.ImageIndex, modified time.Time) error {
	folder, err := os.MkdirTemp("", "layout-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	root, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	if err := root.AppendIndex(index); err != nil {
		return err
	}
	output, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := packFolder(tar.NewWriter(output), folder, modified); err != nil {
		_ = output.Close() // the first error tells more
		return err
	}
	return output.Close()
}

// packFolder writes the files of a folder, sorted by name.
func packFolder(archive *tar.Writer, folder string, modified time.Time) error {
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		relative, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		file := imageFile{filepath.ToSlash(relative), 0o644}
		if entry.IsDir() {
			return addEntry(archive, imageFile{file.name + "/", 0o755}, nil, modified)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return addEntry(archive, file, content, modified)
	})
	if err != nil {
		return err
	}
	return archive.Close()
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	name       = "coder-session-operator"
	repository = "https://github.com/coder-session-operator/coder-session-operator"
	// user by number: runAsNonRoot cannot be checked against a name.
	user = "65532:65532"
)

// imageFile is a file or a folder of an archive.
type imageFile struct {
	// name with its path. That of a folder ends in a slash.
	name string
	mode int64
}

// imageFiles are all files of an image, by their names below the folder of an architecture: one
// static binary, and the licences of what is in it. There is no shell, no package manager and no file
// of certificate authorities: the system roots are in the binary.
var imageFiles = []imageFile{
	{name, 0o755}, {"licenses/", 0o755}, {"licenses/LICENSE", 0o644}, {"licenses/THIRD_PARTY_LICENSES", 0o644},
}

// build is what images are made of.
type build struct {
	// folder has a folder with the files of each architecture.
	folder            string
	version, revision string
	// created is the only time in the images.
	created time.Time
}

// index returns the image index of several architectures.
func (b build) index(architectures []string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range architectures {
		image, err := b.image(architecture)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: plainImage{image}, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	return mutate.Annotations(index, b.labels()).(v1.ImageIndex), nil
}

// plainImage is an image that is no other artifact: without this, the library enters the media type of the
// configuration into the index as the type of an artifact.
type plainImage struct{ v1.Image }

// ArtifactType returns that there is none.
func (plainImage) ArtifactType() (string, error) { return "", nil }

// image returns the image of an architecture.
func (b build) image(architecture string) (v1.Image, error) {
	content, err := b.packFiles(architecture)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: b.created}, CreatedBy: "make image"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", architecture, v1.Time{Time: b.created}
	config.Config = v1.Config{Entrypoint: []string{"/" + name}, User: user, WorkingDir: "/", Labels: b.labels()}
	return mutate.ConfigFile(image, config)
}

// packFiles returns the layer of an architecture, as a tar archive.
func (b build) packFiles(architecture string) ([]byte, error) {
	var content bytes.Buffer
	archive := tar.NewWriter(&content)
	for _, file := range imageFiles {
		var data []byte
		if !strings.HasSuffix(file.name, "/") {
			var err error
			if data, err = os.ReadFile(filepath.Join(b.folder, architecture, file.name)); err != nil {
				return nil, err
			}
		}
		if err := addEntry(archive, file, data, b.created); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return content.Bytes(), nil
}

// addEntry adds a file or a folder to an archive. It belongs to root.
func addEntry(archive *tar.Writer, file imageFile, content []byte, modified time.Time) error {
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: file.name, Mode: file.mode, Size: int64(len(content)), ModTime: modified,
		Format: tar.FormatUSTAR,
	}
	if strings.HasSuffix(file.name, "/") {
		header.Typeflag = tar.TypeDir
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}

// labels of the images, and annotations of the index.
func (b build) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       name,
		prefix + "description": "Gives Kubernetes workloads working, short-lived credentials for a Coder deployment",
		prefix + "url":         repository,
		prefix + "source":      repository,
		prefix + "vendor":      "The Coder Session Operator Authors",
		prefix + "licenses":    "Apache-2.0",
		prefix + "version":     b.version,
		prefix + "revision":    b.revision,
	}
}

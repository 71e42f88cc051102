// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	reference "github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// options are the command line.
type options struct {
	build
	image, layout, archive string
	push                   bool
	architectures          []string
}

func main() {
	o := options{}
	epoch := flag.Int64("epoch", 0, "the only time in the images, in seconds since 1970")
	flag.StringVar(&o.folder, "folder", "bin/image", "folder with a folder of each architecture")
	flag.StringVar(&o.version, "version", "", "version of the code")
	flag.StringVar(&o.revision, "revision", "", "commit of the code")
	flag.StringVar(&o.image, "image", "", "name with the tag, for -archive and -push")
	flag.StringVar(&o.layout, "layout", "",
		"file that takes an index of all images, as an OCI image layout in a tar archive")
	flag.StringVar(&o.archive, "archive", "", "file that takes the image of the only architecture, as a docker-archive")
	flag.BoolVar(&o.push, "push", false, "push the image, or the index of several, to its registry")
	flag.Parse()
	o.created, o.architectures = time.Unix(*epoch, 0).UTC(), flag.Args()
	if err := o.run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// run packs the images, and prints the digest of the image, or of the index of several.
func (o options) run(output io.Writer) error {
	if len(o.architectures) == 0 || o.archive != "" && len(o.architectures) > 1 {
		return errors.New("name the architectures, and with -archive one of them only")
	}
	index, err := o.index(o.architectures)
	if err != nil {
		return err
	}
	if o.layout != "" {
		if err := writeLayout(o.layout, index, o.created); err != nil {
			return fmt.Errorf("write %s: %w", o.layout, err)
		}
	}
	if len(o.architectures) > 1 || o.layout != "" {
		return o.finish(output, index, func(tag reference.Tag, registry remote.Option) error {
			return remote.WriteIndex(tag, index, registry)
		})
	}
	image, err := o.build.image(o.architectures[0])
	if err != nil {
		return err
	}
	if o.archive != "" {
		if err := o.writeArchive(image); err != nil {
			return fmt.Errorf("write %s: %w", o.archive, err)
		}
	}
	return o.finish(output, image, func(tag reference.Tag, registry remote.Option) error {
		return remote.Write(tag, image, registry)
	})
}

// finish pushes what was built if that is asked for, and prints its digest.
func (o options) finish(
	output io.Writer, built interface{ Digest() (v1.Hash, error) }, push func(reference.Tag, remote.Option) error,
) error {
	if o.push {
		tag, err := reference.NewTag(o.image)
		if err != nil {
			return err
		}
		if err := push(tag, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("push %s: %w", o.image, err)
		}
	}
	digest, err := built.Digest()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(output, digest)
	return err
}

// writeArchive writes an archive that docker, podman, kind and containerd load.
func (o options) writeArchive(image v1.Image) error {
	tag, err := reference.NewTag(o.image)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(o.archive, tag, image)
}

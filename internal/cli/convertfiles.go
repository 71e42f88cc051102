// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// maxManifestSize is the largest file that is read, in bytes.
const maxManifestSize = 256 << 20

// readManifests returns the objects of files. Those of lists are returned one by one.
func (c *connector) readManifests(files []string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, file := range files {
		text, err := c.readFile(file)
		if err != nil {
			return nil, err
		}
		found, err := parseManifests(text)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// readFile reads a file, or standard input for "-".
func (c *connector) readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(c.env.In, maxManifestSize))
	}
	file, err := os.Open(name) //nolint:gosec // the person names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxManifestSize))
}

// parseManifests returns the objects of the documents of a text, and of the lists among them.
func parseManifests(text []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	err := eachDocument(text, func(document []byte) error {
		found, err := parseManifest(document)
		objects = append(objects, found...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return objects, nil
}

// eachDocument calls visit with each document of a text in YAML or JSON, until it returns an error.
func eachDocument(text []byte, visit func(document []byte) error) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(document); err != nil {
			return err
		}
	}
}

// parseManifest returns the object of a document, the objects of a list, or nothing of an empty one.
func parseManifest(document []byte) ([]*unstructured.Unstructured, error) {
	text, err := yaml.YAMLToJSON(document)
	if err != nil {
		return nil, err
	}
	if string(bytes.TrimSpace(text)) == "null" {
		return nil, nil
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	if !object.IsList() {
		return []*unstructured.Unstructured{object}, nil
	}
	list, err := object.ToList()
	if err != nil {
		return nil, err
	}
	objects := make([]*unstructured.Unstructured, 0, len(list.Items))
	for i := range list.Items {
		removeServerFields(&list.Items[i])
		objects = append(objects, &list.Items[i])
	}
	return objects, nil
}

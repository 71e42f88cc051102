// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const (
	chartFile     = "charts/coder-session-operator/Chart.yaml"
	crdFolder     = "config/crd/bases"
	fieldsFolder  = "config/crd/fields"
	changelogFile = "CHANGELOG.md"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 0:
		err = write(".")
	case slices.Equal(args, []string{"check"}):
		err = check(os.DirFS("."))
	default:
		err = errors.New("usage: crds [check]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crds:", err)
		os.Exit(1)
	}
}

// write completes the CRDs below a root, and writes the list of their fields.
func write(root string) error {
	files := os.DirFS(root)
	version, err := chartVersion(files)
	if err != nil {
		return err
	}
	names, err := fs.Glob(files, crdFolder+"/*.yaml")
	if err != nil {
		return err
	}
	var fields []string
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(text, crd); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fields = append(fields, listFields(crd)...)
		completed, err := addVersion(string(text), crd, version)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := writeFile(path.Join(root, name), completed); err != nil {
			return err
		}
	}
	return writeFile(path.Join(root, fieldsFolder, version+".txt"), strings.Join(fields, "\n")+"\n")
}

func writeFile(name, content string) error {
	//nolint:gosec // The files are public.
	return os.WriteFile(name, []byte(content), 0o644)
}

// chartVersion returns the version of the chart, which is that of everything.
func chartVersion(files fs.FS) (string, error) {
	text, err := fs.ReadFile(files, chartFile)
	if err != nil {
		return "", err
	}
	var chart struct {
		Version string `json:"version"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil || chart.Version == "" {
		return "", errors.Join(fmt.Errorf("%s has no version", chartFile), err)
	}
	return chart.Version, nil
}

// addVersion adds the version to what controller-gen has written: as a label of the CRD, for people
// and their tools, and as the title of the schemas, which every user of the cluster may read.
func addVersion(text string, crd *apiextensionsv1.CustomResourceDefinition, version string) (string, error) {
	const schema = "      openAPIV3Schema:\n"
	label := "  name: " + crd.Name + "\n"
	if len(crd.Labels) > 0 || strings.Count(text, label) != 1 || strings.Count(text, schema) != len(crd.Spec.Versions) {
		return "", errors.New("it is not as controller-gen writes it: run make manifests")
	}
	text = strings.Replace(text, label, "  labels:\n    app.kubernetes.io/version: "+version+"\n"+label, 1)
	title := fmt.Sprintf("        title: %s of the Coder Session Operator %s\n", crd.Spec.Names.Kind, version)
	return strings.ReplaceAll(text, schema, schema+title), nil
}

// listFields returns the fields of all versions of a kind, sorted, each as in "CoderSession v1alpha1
// spec.paused boolean". A field of the items of a list has [] before it, one of a map's values [*].
func listFields(crd *apiextensionsv1.CustomResourceDefinition) []string {
	var fields []string
	for _, version := range crd.Spec.Versions {
		walkFields(version.Schema.OpenAPIV3Schema, "", func(path, kind string) {
			fields = append(fields, fmt.Sprintf("%s %s %s %s", crd.Spec.Names.Kind, version.Name, path, kind))
		})
	}
	return fields
}

// walkFields calls visit for all fields below a schema, sorted, with their paths and types.
func walkFields(schema *apiextensionsv1.JSONSchemaProps, path string, visit func(path, kind string)) {
	if schema == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		field := schema.Properties[name]
		below := strings.TrimPrefix(path+"."+name, ".")
		visit(below, typeName(&field))
		walkFields(&field, below, visit)
	}
	if schema.Items != nil {
		walkFields(schema.Items.Schema, path+"[]", visit)
	}
	if schema.AdditionalProperties != nil {
		walkFields(schema.AdditionalProperties.Schema, path+"[*]", visit)
	}
}

// typeName returns the type of a field, such as []string.
func typeName(schema *apiextensionsv1.JSONSchemaProps) string {
	switch {
	case schema.Items != nil && schema.Items.Schema != nil:
		return "[]" + typeName(schema.Items.Schema)
	case schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
		return "map[]" + typeName(schema.AdditionalProperties.Schema)
	case schema.XIntOrString:
		return "int-or-string"
	case schema.Format != "":
		return schema.Type + "/" + schema.Format
	}
	return schema.Type
}

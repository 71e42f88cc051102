// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// CRDSchemas returns the schema of each CRD, by the name of its resource, such as codersessions. The
// test fails if there are none.
func CRDSchemas(t testing.TB) map[string]*apiextensions.JSONSchemaProps {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(findRoot(t), "config", "crd", "bases", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*apiextensions.JSONSchemaProps{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		external, internal := &apiextensionsv1.CustomResourceDefinition{}, &apiextensions.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, external); err != nil {
			t.Fatal(err)
		}
		convert := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition
		if err := convert(external, internal, nil); err != nil {
			t.Fatal(err)
		}
		validation := internal.Spec.Validation // one version: the schema of all
		if validation == nil {
			validation = internal.Spec.Versions[0].Schema
		}
		schemas[internal.Spec.Names.Plural] = validation.OpenAPIV3Schema
	}
	if len(schemas) == 0 {
		t.Fatal("config/crd/bases has no CRD")
	}
	return schemas
}

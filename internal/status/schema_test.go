// SPDX-License-Identifier: Apache-2.0

package status

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// statusSchema is what the CRD says about status.
type statusSchema struct {
	openAPI    validation.SchemaValidator
	structural *schema.Structural
	rules      *cel.Validator
}

// readSchema reads the schema of the status from the CRD of a resource, such as codersessions.
func readSchema(t testing.TB, resource string) statusSchema {
	t.Helper()
	bases := filepath.Join("..", "..", "config", "crd", "bases")
	text, err := os.ReadFile(filepath.Join(bases, "credentials.coder.com_"+resource+".yaml"))
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
	root := internal.Spec.Validation // one version: the schema of all
	if root == nil {
		root = internal.Spec.Versions[0].Schema
	}
	properties, found := root.OpenAPIV3Schema.Properties["status"]
	if !found {
		t.Fatal("the CRD has no status")
	}
	openAPI, _, err := validation.NewSchemaValidator(&properties)
	if err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(&properties)
	if err != nil {
		t.Fatal(err)
	}
	return statusSchema{openAPI, structural, cel.NewValidator(structural, false, celconfig.PerCallLimit)}
}

// validate returns what the API server would find wrong with a status.
func (s statusSchema) validate(t testing.TB, status map[string]any) field.ErrorList {
	t.Helper()
	path := field.NewPath("status")
	wrong := validation.ValidateCustomResource(path, status, s.openAPI)
	wrong = append(wrong, listtype.ValidateListSetsAndMaps(path, s.structural, status)...)
	broken, _ := s.rules.Validate(t.Context(), path, s.structural, status, nil, celconfig.RuntimeCELCostBudget)
	return append(wrong, broken...)
}

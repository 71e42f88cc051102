// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/coder-session-operator/coder-session-operator/test/declared"
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
	root := declared.CRDSchemas(t)[resource]
	if root == nil {
		t.Fatalf("there is no CRD of %s", resource)
	}
	properties, found := root.Properties["status"]
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

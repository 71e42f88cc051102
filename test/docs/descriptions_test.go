// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// property is what kubectl explain shows of a field, with the fields below it.
type property struct {
	Description string              `json:"description"`
	Properties  map[string]property `json:"properties"`
	Items       *property           `json:"items"`
	Default     any                 `json:"default"`
	Type        string              `json:"type"`
}

// visitBelow calls see for each field below a property, with its path.
func (p property) visitBelow(at string, see func(at string, field property)) {
	for name, field := range p.Properties {
		see(at+"."+name, field)
		field.visitBelow(at+"."+name, see)
	}
	if p.Items != nil {
		p.Items.visitBelow(at+"[]", see)
	}
}

// visitFields calls see for each field of each kind below spec and status.
func visitFields(t *testing.T, see func(at string, field property)) {
	t.Helper()
	kinds := 0
	for _, file := range readFiles(t, ".yaml") {
		if path.Dir(file.path) != "config/crd/bases" {
			continue
		}
		kinds++
		var crd struct {
			Spec struct {
				Names    struct{ Kind string }
				Versions []struct {
					Schema struct {
						OpenAPIV3Schema property `json:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal([]byte(file.text), &crd); err != nil {
			t.Fatal(err)
		}
		for _, version := range crd.Spec.Versions {
			version.Schema.OpenAPIV3Schema.visitBelow(crd.Spec.Names.Kind, see)
		}
	}
	if kinds != 2 {
		t.Fatalf("%d kinds, want 2", kinds)
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	t.Parallel()
	internal := regexp.MustCompile(`\bcontract\b|\bB\d{2,3}\b|\b[A-J]\.\d+\b`)
	visitFields(t, func(at string, field property) {
		if strings.HasSuffix(at, ".metadata") {
			return // described by Kubernetes
		}
		if strings.TrimSpace(field.Description) == "" {
			t.Errorf("%s has no description: write a comment in api/v1alpha1", at)
		}
		if found := internal.FindString(field.Description); found != "" {
			t.Errorf("%s: %q is of no use to those who read kubectl explain", at, found)
		}
	})
}

// The description of a duration and of what has a default tells what counts if it is left out.
func TestDefaultsAreDescribed(t *testing.T) {
	t.Parallel()
	visitFields(t, func(at string, field property) {
		description := strings.Join(strings.Fields(field.Description), " ")
		switch value := field.Default.(type) {
		case map[string]any: // of an object: its fields tell
		case nil:
			if strings.Contains(description, "as a duration such as") && !strings.Contains(description, "Absent") {
				t.Errorf("%s: the description does not say what counts if it is absent", at)
			}
		default:
			if end := fmt.Sprintf("Default: %v.", value); !strings.HasSuffix(description, end) {
				t.Errorf("%s: the description does not end with %q", at, end)
			}
		}
	})
}

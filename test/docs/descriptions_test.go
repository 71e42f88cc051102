// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// property is what kubectl explain shows of a field, with the fields below it.
type property struct {
	Description string              `json:"description"`
	Properties  map[string]property `json:"properties"`
	Items       *property           `json:"items"`
	Required    []string            `json:"required"`
	Default     any                 `json:"default"`
	Enum        []any               `json:"enum"`
	Type        string              `json:"type"`

	MinItems      *int64   `json:"minItems"`
	MaxItems      *int64   `json:"maxItems"`
	MaxProperties *int64   `json:"maxProperties"`
	Minimum       *float64 `json:"minimum"`
	Maximum       *float64 `json:"maximum"`
	Rules         []rule   `json:"x-kubernetes-validations"`

	// optional is set by visitBelow.
	optional bool
}

// rule is a validation rule in CEL.
type rule struct {
	Rule string `json:"rule"`
}

// text is the description on one line.
func (p property) text() string { return strings.Join(strings.Fields(p.Description), " ") }

// isDuration reports whether the type of a field is Duration.
func (p property) isDuration() bool {
	return slices.ContainsFunc(p.Rules, func(r rule) bool {
		return strings.HasSuffix(r.Rule, "duration(self) > duration('0s')")
	})
}

// visitBelow calls see for each field below a property, with its path.
func (p property) visitBelow(at string, see func(at string, field property)) {
	for name, field := range p.Properties {
		field.optional = !slices.Contains(p.Required, name)
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

// A description ends with what counts if the field is left out.
func TestDefaultsAreDescribed(t *testing.T) {
	t.Parallel()
	visitFields(t, func(at string, field property) {
		switch value := field.Default.(type) {
		case map[string]any: // of an object: its fields tell
		case nil:
			if field.optional && !isDescribedElsewhere(at) && !describedAbsence.MatchString(field.text()) {
				t.Errorf("%s: the description does not say what counts if it is absent", at)
			}
		default:
			if end := fmt.Sprintf("Default: %v.", value); !strings.HasSuffix(field.text(), end) {
				t.Errorf("%s: the description does not end with %q", at, end)
			}
		}
	})
}

var describedAbsence = regexp.MustCompile(`\bAbsent\b|\bDefault: `)

// isDescribedElsewhere reports whether a field is described by Kubernetes, or has its default from
// the object that it is in.
func isDescribedElsewhere(at string) bool {
	return strings.Count(at, ".") == 1 || strings.Contains(at, ".conditions[]") ||
		strings.Contains(at, ".namespaceSelector.") || strings.HasSuffix(at, ".status.observedGeneration")
}

// What kubectl explain shows of a field has its bounds, because it shows no others. The bounds of a
// duration are a least value, with the units.
func TestBoundsAreDescribed(t *testing.T) {
	t.Parallel()
	durations := 0
	visitFields(t, func(at string, field property) {
		if isDescribedElsewhere(at) {
			return
		}
		for name, bound := range map[string]*int64{
			"maxItems": field.MaxItems, "maxProperties": field.MaxProperties,
		} {
			listsValues := field.Items != nil && field.Items.Enum != nil // which are described
			if bound == nil || listsValues {
				continue
			}
			if words := fmt.Sprintf("at most %d", *bound); !strings.Contains(field.text(), words) {
				t.Errorf("%s: the description does not say %q, as %s does", at, words, name)
			}
		}
		if field.MinItems != nil && !strings.Contains(field.text(), "at least one") {
			t.Errorf("%s: the description does not say that there is at least one", at)
		}
		for name, bound := range map[string]*float64{"minimum": field.Minimum, "maximum": field.Maximum} {
			if bound != nil && !strings.Contains(field.text(), fmt.Sprintf(" %.0f", *bound)) {
				t.Errorf("%s: the description does not say %.0f, the %s", at, *bound, name)
			}
		}
		if !field.isDuration() {
			return
		}
		durations++
		if !describedDuration.MatchString(field.text()) {
			t.Errorf("%s: the description does not match %s", at, describedDuration)
		}
	})
	if durations == 0 {
		t.Error("no field is a duration")
	}
}

var describedDuration = regexp.MustCompile(
	`as a duration (above 0|of at least \d+[mh]) in ms, s, m and h, such as \d+`)

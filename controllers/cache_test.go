// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// A cluster may have a hundred thousand Secrets: of those of others the cache holds neither labels nor
// annotations. The labels of namespaces decide access rules and stay.
func TestTheCacheHoldsLittleOfForeignObjects(t *testing.T) {
	t.Parallel()
	for kind, labels := range map[string]int{"Secret": 1, "ConfigMap": 1, "Namespace": 2} {
		object := &metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{Kind: kind},
			ObjectMeta: metav1.ObjectMeta{
				Labels:        map[string]string{"team": "a", v1alpha1.LabelSession: "ci"},
				Annotations:   map[string]string{"example.com/applied": "{}", v1alpha1.AnnotationSerial: "1"},
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "other"}},
			},
		}
		before := maps.Clone(object.Labels)
		if _, err := StripUnused(object); err != nil {
			t.Fatal(err)
		}
		if len(object.Labels) != labels || len(object.Annotations) != 1 || object.ManagedFields != nil ||
			object.Labels[v1alpha1.LabelSession] != before[v1alpha1.LabelSession] {
			t.Errorf("%s: %+v is left", kind, object.ObjectMeta)
		}
		foreign := &metav1.PartialObjectMetadata{TypeMeta: object.TypeMeta, ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"example.com/applied": "{}"},
		}}
		if _, err := StripUnused(foreign); err != nil {
			t.Fatal(err)
		}
		if foreign.Annotations != nil || kind != "Namespace" && foreign.Labels != nil {
			t.Errorf("%s: empty maps keep their size", kind)
		}
	}
}

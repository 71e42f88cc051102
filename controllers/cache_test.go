// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
)

// A cluster may have a hundred thousand Secrets: of those of others the cache holds neither labels nor
// annotations. The labels of namespaces decide access rules and stay.
func TestTheCacheHoldsLittleOfForeignObjects(t *testing.T) {
	t.Parallel()
	for kind, kept := range map[string]struct{ labels, annotations int }{
		"Secret": {1, 1}, "ConfigMap": {1, 1}, "Namespace": {2, 0},
	} {
		object := &metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{Kind: kind},
			ObjectMeta: metav1.ObjectMeta{
				Labels:        map[string]string{"team": "a", v1alpha1.LabelSession: "ci"},
				Annotations:   map[string]string{"example.com/applied": "{}", v1alpha1.AnnotationSerial: "1"},
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "other"}},
			},
		}
		got := stripMetadata(t, object)
		if len(got.Labels) != kept.labels || len(got.Annotations) != kept.annotations || got.ManagedFields != nil ||
			got.Labels[v1alpha1.LabelSession] != "ci" || got.Kind != kind {
			t.Errorf("%s: %+v is left", kind, got.ObjectMeta)
		}
		foreign := stripMetadata(t, &metav1.PartialObjectMetadata{TypeMeta: object.TypeMeta, ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"example.com/applied": "{}"},
		}})
		if foreign.Annotations != nil || kind != "Namespace" && foreign.Labels != nil {
			t.Errorf("%s: empty maps keep their size", kind)
		}
	}
}

func stripMetadata(t *testing.T, object *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	t.Helper()
	got, err := StripUnused(object)
	if err != nil {
		t.Fatal(err)
	}
	return got.(*metav1.PartialObjectMetadata)
}

// B155: who may write a Secret decides neither how much of it is in the cache, nor, by a value that is cut, what
// is in a Secret that the operator wrote.
func TestTheCacheIsBoundedWhateverIsWritten(t *testing.T) {
	t.Parallel()
	object := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{
		Labels: map[string]string{}, Annotations: map[string]string{},
	}}
	huge := strings.Repeat("x", 1<<18)
	for _, key := range append(slices.Clone(cachedAnnotations), v1alpha1.AnnotationManaged) {
		object.Annotations[key] = huge
	}
	for i := range 1000 {
		own := fmt.Sprintf("%s/x%d", v1alpha1.GroupVersion.Group, i)
		object.Labels[own], object.Annotations[own] = "x", "x"
		object.Finalizers = append(object.Finalizers, own)
		object.OwnerReferences = append(object.OwnerReferences,
			metav1.OwnerReference{Name: own, Controller: ptr.To(i == 500)})
	}
	got := stripMetadata(t, object)
	if controller := metav1.GetControllerOf(got); controller == nil || controller.Name != "credentials.coder.com/x500" {
		t.Errorf("the controller is %v", controller)
	}
	encoded, err := json.Marshal(got)
	if err != nil || len(encoded) > 4<<10 {
		t.Errorf("%d bytes are in the cache: %v", len(encoded), err)
	}
	session := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Name: "ci", UID: "1"}}
	got.OwnerReferences = []metav1.OwnerReference{{UID: "1", Controller: ptr.To(true)}}
	if state := secret.StateOf(got, session); state.Token != nil || state.Corrupt == "" || state.Retained {
		t.Errorf("values that were cut are taken: %+v", state)
	}
}

// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// B155: who may write CoderSessions and CoderDeployments does not decide how much of each is in the cache.
// What the operator reads of their metadata is there.
func TestTheCacheIsBoundedForTheOwnKinds(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", 1<<18)
	write := func(finalizer string) metav1.ObjectMeta {
		meta := metav1.ObjectMeta{
			Namespace: "builds", Name: "ci", UID: "1", ResourceVersion: "7", Generation: 3,
			CreationTimestamp: metav1.Now(), DeletionTimestamp: ptr.To(metav1.Now()),
			Labels: map[string]string{v1alpha1.LabelParent: "parent", "shard": "a"},
			Annotations: map[string]string{
				"kubectl.kubernetes.io/last-applied-configuration": huge, v1alpha1.AnnotationLoginPort: huge,
				v1alpha1.AnnotationRenewRequestedAt:  strings.Repeat("\U0001F511", 64) + huge,
				v1alpha1.AnnotationVerifyRequestedAt: "now", v1alpha1.AnnotationParentUID: "2",
			},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: huge}},
		}
		for i := range 9000 {
			name := fmt.Sprintf("%s/x%d", v1alpha1.GroupVersion.Group, i)
			meta.Labels[name], meta.Annotations[name] = "x", "x"
			meta.Finalizers = append(meta.Finalizers, name)
			meta.OwnerReferences = append(meta.OwnerReferences,
				metav1.OwnerReference{Name: name, Controller: ptr.To(i == 500)})
		}
		meta.Finalizers = append(meta.Finalizers, finalizer)
		return meta
	}
	session := &v1alpha1.CoderSession{ObjectMeta: write(v1alpha1.SessionFinalizer)}
	deployment := &v1alpha1.CoderDeployment{ObjectMeta: write(v1alpha1.DeploymentFinalizer)}
	request := session.RenewalRequest()
	strip := stripOwn(labels.SelectorFromSet(labels.Set{"shard": "a"}))
	for _, object := range []client.Object{session, deployment} {
		whole := object.DeepCopyObject().(client.Object)
		if _, err := strip(object); err != nil {
			t.Fatal(err)
		}
		if encoded, err := json.Marshal(object); err != nil || len(encoded) > 4<<10 {
			t.Errorf("%d bytes of a %T are in the cache: %v", len(encoded), object, err)
		}
		own := whole.GetFinalizers()[9000]
		if !slices.Contains(object.GetFinalizers(), own) || object.GetLabels()["shard"] != "a" ||
			metav1.GetControllerOf(object) == nil || object.GetGeneration() != whole.GetGeneration() ||
			object.GetResourceVersion() != whole.GetResourceVersion() || object.GetUID() != whole.GetUID() ||
			!object.GetDeletionTimestamp().Equal(whole.GetDeletionTimestamp()) {
			t.Errorf("what is needed of a %T is not there: %+v", object, object)
		}
	}
	if got := session.RenewalRequest(); got != request || len(got) != 256 {
		t.Errorf("the renewal request is %q, want %q", got, request)
	}
	if session.Labels[v1alpha1.LabelParent] != "parent" || session.Annotations[v1alpha1.AnnotationParentUID] != "2" ||
		session.LoginPort() != 0 || deployment.VerificationRequest() != "now" {
		t.Errorf("labels and annotations are %+v, and %+v of the deployment",
			session.ObjectMeta, deployment.ObjectMeta)
	}
}

// The cache holds CoderSessions and CoderDeployments with bounded metadata, also without a selector.
func TestTheOwnKindsAreStripped(t *testing.T) {
	t.Parallel()
	for name, selector := range map[string]labels.Selector{
		"all": nil, "a part": labels.SelectorFromSet(labels.Set{"shard": "a"}),
	} {
		found := 0
		for object, by := range CacheOptions(nil, selector).ByObject {
			switch object.(type) {
			case *v1alpha1.CoderSession, *v1alpha1.CoderDeployment:
				object.SetLabels(map[string]string{"team": "a"})
				if _, err := by.Transform(object); err != nil || object.GetLabels() != nil {
					t.Errorf("%s: %T has the labels %v: %v", name, object, object.GetLabels(), err)
				}
				if selects := by.Label != nil; selects != (selector != nil) {
					t.Errorf("%s: %T is selected by %v", name, object, by.Label)
				}
				found++
			}
		}
		if found != 2 {
			t.Errorf("%s: %d of 2 kinds are stripped", name, found)
		}
	}
}

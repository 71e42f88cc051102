// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
)

// Kinds that the simulated API server stores.
const (
	kindDeployment = "CoderDeployment"
	kindSession    = "CoderSession"
	kindSecret     = "Secret"
	kindConfigMap  = "ConfigMap"
	kindNamespace  = "Namespace"
)

// kinds in the order in which a restarted operator lists them.
var kinds = []string{kindNamespace, kindConfigMap, kindSecret, kindDeployment, kindSession, kindPod}

// ref names an object.
type ref struct {
	kind string
	key  types.NamespacedName
}

// change is one write as reported by a watch. before is nil for a creation, after is nil for a
// deletion.
type change struct {
	ref           ref
	before, after client.Object
}

// simAPI is an API server in memory with resource versions, preconditions, generations,
// finalizers and the status subresource. It calls told for each write, in order.
type simAPI struct {
	now     func() time.Time
	rng     *rand.Rand
	objects map[ref]client.Object
	texts   map[ref]string // objects, encoded
	version int
	told    func(change)
}

func newSimAPI(now func() time.Time, rng *rand.Rand) *simAPI {
	return &simAPI{
		now: now, rng: rng, version: 1000,
		objects: map[ref]client.Object{}, texts: map[ref]string{}, told: func(change) {},
	}
}

// kindOf returns the kind of a typed or metadata-only object.
func kindOf(object client.Object) string {
	if meta, ok := object.(*metav1.PartialObjectMetadata); ok {
		return meta.Kind
	}
	return reflect.TypeOf(object).Elem().Name()
}

func refOf(object client.Object) ref {
	return ref{kindOf(object), client.ObjectKeyFromObject(object)}
}

func resourceOf(r ref) schema.GroupResource { return schema.GroupResource{Resource: r.kind} }

func copyOf(object client.Object) client.Object { return object.DeepCopyObject().(client.Object) }

// get copies the stored object into out.
func (a *simAPI) get(r ref, out client.Object) error {
	stored := a.objects[r]
	if stored == nil {
		return apierrors.NewNotFound(resourceOf(r), r.key.String())
	}
	into(out, stored)
	return nil
}

// into copies object to out: completely, or only the metadata if out is metadata-only.
func into(out, object client.Object) {
	if meta, ok := out.(*metav1.PartialObjectMetadata); ok {
		*meta = *metadataFrom(object)
		return
	}
	reflect.ValueOf(out).Elem().Set(reflect.ValueOf(copyOf(object)).Elem())
}

func metadataFrom(object client.Object) *metav1.PartialObjectMetadata {
	meta := lookup.Metadata(kindOf(object))
	copied := copyOf(object)
	meta.ObjectMeta = metav1.ObjectMeta{
		Name: copied.GetName(), Namespace: copied.GetNamespace(), UID: copied.GetUID(),
		ResourceVersion: copied.GetResourceVersion(), Generation: copied.GetGeneration(),
		CreationTimestamp: copied.GetCreationTimestamp(), DeletionTimestamp: copied.GetDeletionTimestamp(),
		Labels: copied.GetLabels(), Annotations: copied.GetAnnotations(),
		OwnerReferences: copied.GetOwnerReferences(), Finalizers: copied.GetFinalizers(),
	}
	return meta
}

func (a *simAPI) create(object client.Object) error {
	r := refOf(object)
	if a.objects[r] != nil {
		return apierrors.NewAlreadyExists(resourceOf(r), r.key.String())
	}
	object.SetUID(types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", a.rng.Uint32(), a.rng.Uint64N(1<<48))))
	object.SetCreationTimestamp(metav1.NewTime(a.now().Truncate(time.Second)))
	object.SetGeneration(1)
	a.store(r, nil, object)
	return nil
}

// store sets the resource version of the object and keeps a copy.
func (a *simAPI) store(r ref, before, after client.Object) {
	a.version++
	after.SetResourceVersion(strconv.Itoa(a.version))
	if before != nil && !before.GetDeletionTimestamp().IsZero() && len(after.GetFinalizers()) == 0 {
		delete(a.objects, r)
		a.told(change{ref: r, before: before})
		return
	}
	stored := copyOf(after)
	a.objects[r], a.texts[r] = stored, encoded(stored)
	a.told(change{ref: r, before: before, after: copyOf(stored)})
}

// update replaces the object except for its status. It checks the UID and the resource version
// of the object as preconditions.
func (a *simAPI) update(object client.Object) error {
	r := refOf(object)
	live := a.objects[r]
	if live == nil {
		return apierrors.NewNotFound(resourceOf(r), r.key.String())
	}
	if err := precondition(r, live, object.GetUID(), object.GetResourceVersion()); err != nil {
		return err
	}
	next := copyOf(object)
	keepStatus(next, live)
	a.keepIdentity(next, live)
	a.replace(r, live, next)
	into(object, next)
	return nil
}

func (a *simAPI) keepIdentity(next, live client.Object) {
	next.SetUID(live.GetUID())
	next.SetCreationTimestamp(live.GetCreationTimestamp())
	next.SetDeletionTimestamp(live.GetDeletionTimestamp())
	next.SetGeneration(live.GetGeneration())
	next.SetResourceVersion(live.GetResourceVersion())
}

// replace stores the object if it differs; a write that changes nothing creates no new version.
func (a *simAPI) replace(r ref, live, next client.Object) {
	if encoded(next) == a.texts[r] {
		return
	}
	if spec(live) != spec(next) {
		next.SetGeneration(live.GetGeneration() + 1)
	}
	a.store(r, live, next)
}

func precondition(r ref, live client.Object, uid types.UID, version string) error {
	if uid != "" && uid != live.GetUID() || version != "" && version != live.GetResourceVersion() {
		return apierrors.NewConflict(resourceOf(r), r.key.String(), errors.New("the object has been modified"))
	}
	return nil
}

// remove deletes the object, or sets its deletion timestamp if it has finalizers.
func (a *simAPI) remove(r ref, conditions *metav1.Preconditions) error {
	live := a.objects[r]
	if live == nil {
		return apierrors.NewNotFound(resourceOf(r), r.key.String())
	}
	if conditions != nil {
		var uid types.UID
		var version string
		if conditions.UID != nil {
			uid = *conditions.UID
		}
		if conditions.ResourceVersion != nil {
			version = *conditions.ResourceVersion
		}
		if err := precondition(r, live, uid, version); err != nil {
			return err
		}
	}
	if len(live.GetFinalizers()) == 0 {
		a.version++
		delete(a.objects, r)
		a.told(change{ref: r, before: live})
		return nil
	}
	if live.GetDeletionTimestamp().IsZero() {
		next := copyOf(live)
		at := metav1.NewTime(a.now().Truncate(time.Second))
		next.SetDeletionTimestamp(&at)
		next.SetGeneration(live.GetGeneration() + 1)
		a.store(r, live, next)
	}
	return nil
}

// patch applies a JSON merge patch (RFC 7396) either to the status or to everything else.
func (a *simAPI) patch(object client.Object, patch client.Patch, status bool) error {
	r := refOf(object)
	live := a.objects[r]
	if live == nil {
		return apierrors.NewNotFound(resourceOf(r), r.key.String())
	}
	if patch.Type() != types.MergePatchType {
		return apierrors.NewBadRequest("only merge patches are simulated")
	}
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	var delta map[string]any
	if err := json.Unmarshal(data, &delta); err != nil {
		return err
	}
	if meta, ok := delta["metadata"].(map[string]any); ok {
		version, _ := meta["resourceVersion"].(string)
		uid, _ := meta["uid"].(string)
		if err := precondition(r, live, types.UID(uid), version); err != nil {
			return err
		}
	}
	document := map[string]any{}
	if err := json.Unmarshal([]byte(a.texts[r]), &document); err != nil {
		return err
	}
	if status {
		delta = map[string]any{"status": delta["status"]}
	} else {
		delete(delta, "status")
	}
	merged, err := json.Marshal(mergePatch(document, delta))
	if err != nil {
		return err
	}
	next := reflect.New(reflect.TypeOf(live).Elem()).Interface().(client.Object)
	if err := json.Unmarshal(merged, next); err != nil {
		return err
	}
	a.keepIdentity(next, live)
	a.replace(r, live, next)
	into(object, next)
	return nil
}

// mergePatch is the algorithm of RFC 7396, section 2.
func mergePatch(target any, patch any) any {
	delta, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	object = maps.Clone(object)
	for key, value := range delta {
		if value == nil {
			delete(object, key)
			continue
		}
		object[key] = mergePatch(object[key], value)
	}
	return object
}

func encoded(object any) string {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// spec returns the encoded spec, whose changes are counted by the generation.
func spec(object client.Object) string {
	switch o := object.(type) {
	case *v1alpha1.CoderDeployment:
		return encoded(o.Spec)
	case *v1alpha1.CoderSession:
		return encoded(o.Spec)
	case *appsv1.Deployment:
		return encoded(o.Spec)
	}
	return ""
}

// keepStatus restores the status: only writes to the status subresource can change it.
func keepStatus(next, live client.Object) {
	switch o := next.(type) {
	case *v1alpha1.CoderDeployment:
		o.Status = *live.(*v1alpha1.CoderDeployment).Status.DeepCopy()
	case *v1alpha1.CoderSession:
		o.Status = *live.(*v1alpha1.CoderSession).Status.DeepCopy()
	}
}

// collect removes objects whose owner no longer exists, like the garbage collector.
func (a *simAPI) collect() {
	for _, r := range sortedRefs(a.objects) {
		object := a.objects[r]
		if object == nil || r.kind != kindSecret && r.kind != kindSession {
			continue
		}
		if owner := metav1.GetControllerOf(object); owner != nil {
			of := a.objects[ref{owner.Kind, types.NamespacedName{Namespace: object.GetNamespace(), Name: owner.Name}}]
			if of == nil || of.GetUID() != owner.UID {
				_ = a.remove(r, nil)
			}
		}
	}
}

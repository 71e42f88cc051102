// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Writer writes conditions, events and status patches. Create it with [NewWriter]. It is safe for
// concurrent use.
type Writer struct {
	client   client.StatusClient
	recorder Recorder
	clock    clock.PassiveClock
}

// NewWriter returns a Writer that patches with c and takes transition times from clock.
func NewWriter(c client.StatusClient, recorder Recorder, clock clock.PassiveClock) *Writer {
	return &Writer{client: c, recorder: recorder, clock: clock}
}

// Set is [Set] with the current time.
func (w *Writer) Set(conditions *[]metav1.Condition, generation int64, c Condition) {
	Set(conditions, generation, w.clock.Now(), c)
}

// Patch sends the status of after, if it differs from that of before, as one merge patch of the
// status subresource. Nothing but the status is sent, and of that neither what is too large nor
// conditions of types that the operator does not know: the operator owns the conditions.
//
// The patch has before's resourceVersion as a precondition (B30); if it does not hold, the error is
// a conflict. If the object was deleted, the error is "not found". changed reports whether a patch
// was applied; after then has the new resourceVersion.
//
// A status that the API server finds invalid or too large is logged and sent a second time with
// observedGeneration and conditions only, so that a person learns at least what is wrong.
func (w *Writer) Patch(ctx context.Context, before, after client.Object) (changed bool, err error) {
	target, err := withStatus(before, after)
	if err != nil {
		return false, err
	}
	changed, err = w.patchStatus(ctx, before, target)
	if apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) {
		log.FromContext(ctx).Error(err, "The API server refused the status: only its conditions are written")
		target = withConditions(before, target)
		changed, err = w.patchStatus(ctx, before, target)
	}
	if err != nil {
		return false, fmt.Errorf("patch the status of %s: %w", client.ObjectKeyFromObject(before), err)
	}
	if changed {
		after.SetResourceVersion(target.GetResourceVersion())
	}
	return changed, nil
}

// patchStatus sends the difference between before and target, if there is one.
func (w *Writer) patchStatus(ctx context.Context, before, target client.Object) (changed bool, err error) {
	if equality.Semantic.DeepEqual(before, target) {
		return false, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	// What is sent has the fields of the API's types only. To look for others costs the API server a tenth of the
	// write.
	ignore := client.FieldValidation(metav1.FieldValidationIgnore)
	if err := w.client.Status().Patch(ctx, target, patch, ignore); err != nil {
		return false, err
	}
	return true, nil
}

// withStatus returns a copy of before with the status of after, within the limits.
func withStatus(before, after client.Object) (target client.Object, err error) {
	switch before := before.(type) {
	case *v1alpha1.CoderSession:
		if after, ok := after.(*v1alpha1.CoderSession); ok {
			target := before.DeepCopy()
			target.Status = *after.Status.DeepCopy()
			limitSession(&target.Status)
			return target, nil
		}
	case *v1alpha1.CoderDeployment:
		if after, ok := after.(*v1alpha1.CoderDeployment); ok {
			target := before.DeepCopy()
			target.Status = *after.Status.DeepCopy()
			limitDeployment(&target.Status)
			return target, nil
		}
	}
	return nil, fmt.Errorf("patch status: %T and %T are no two states of one object", before, after)
}

// withConditions returns a copy of before with observedGeneration and the shortened conditions of
// after. Both are of one of the types that withStatus accepts.
func withConditions(before, after client.Object) client.Object {
	target := before.DeepCopyObject().(client.Object)
	generation, conditions := conditionsOf(target)
	observed, full := conditionsOf(after)
	*generation, *conditions = *observed, shortenConditions(*full)
	return target
}

// conditionsOf returns pointers to observedGeneration and the conditions of an object.
func conditionsOf(object client.Object) (observedGeneration *int64, conditions *[]metav1.Condition) {
	switch object := object.(type) {
	case *v1alpha1.CoderSession:
		return &object.Status.ObservedGeneration, &object.Status.Conditions
	case *v1alpha1.CoderDeployment:
		return &object.Status.ObservedGeneration, &object.Status.Conditions
	}
	return nil, nil
}

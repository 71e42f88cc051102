// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// MaxFinalizers is how many finalizers of a CoderSession or CoderDeployment the cache holds.
const MaxFinalizers = 16

// AddFinalizer adds a finalizer to an object. The patch fails with a conflict if the object has been
// modified since it was read (B30).
func AddFinalizer[T client.Object](ctx context.Context, c client.Client, object T, finalizer string) error {
	return patchFinalizers(ctx, c, object, func() bool { return controllerutil.AddFinalizer(object, finalizer) })
}

// RemoveFinalizer removes a finalizer from an object, with the same precondition as AddFinalizer.
func RemoveFinalizer[T client.Object](ctx context.Context, c client.Client, object T, finalizer string) error {
	return patchFinalizers(ctx, c, object, func() bool { return controllerutil.RemoveFinalizer(object, finalizer) })
}

func patchFinalizers[T client.Object](ctx context.Context, c client.Client, object T, change func() bool) error {
	if len(object.GetFinalizers()) >= MaxFinalizers {
		if err := readWhole(ctx, c, object); err != nil {
			return err
		}
	}
	before := object.DeepCopyObject().(T)
	if !change() {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Patch(ctx, object, patch); err != nil {
		object.SetFinalizers(before.GetFinalizers())
		return fmt.Errorf("patch finalizers: %w", err)
	}
	return nil
}

// readWhole reads an object with what the cache leaves out of it, by a patch that changes nothing. It fails with
// a conflict if the object has been modified since it was read.
func readWhole(ctx context.Context, c client.Client, object client.Object) error {
	change, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": object.GetResourceVersion(),
	}})
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	if err := c.Patch(ctx, object, client.RawPatch(types.MergePatchType, change)); err != nil {
		return fmt.Errorf("read all finalizers: %w", err)
	}
	return nil
}

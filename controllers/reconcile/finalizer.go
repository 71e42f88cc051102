// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

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

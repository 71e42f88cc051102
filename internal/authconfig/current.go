// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Current reports, from metadata alone, whether s is still what d resolves to: d is the object and
// generation that s was resolved from, and no object that s was read from has been changed, created
// or deleted since. An object that is older in the cache than in s counts as unchanged, because the
// cache lags behind. The error is that of the metadata reader.
func (r *Resolver) Current(ctx context.Context, s *Snapshot, d *v1alpha1.CoderDeployment) (bool, error) {
	if s.UID != d.UID || s.Generation != d.Generation {
		return false, nil
	}
	for ref, read := range s.Sources {
		now, err := r.versionOf(ctx, ref)
		if err != nil {
			return false, fmt.Errorf("read the metadata of %s: %w", ref, err)
		}
		if hasChanged(read, now) {
			return false, nil
		}
	}
	return true, nil
}

// versionOf returns the resourceVersion in the cache, or "" if the object is absent.
func (r *Resolver) versionOf(ctx context.Context, ref Reference) (string, error) {
	var found metav1.PartialObjectMetadata
	found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(ref.Kind))
	err := r.metadata.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &found)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return found.ResourceVersion, nil
}

// hasChanged compares two versions of one object; "" is an absent object. Versions without an order
// count as changed if they differ.
func hasChanged(read, now string) bool {
	if read == now {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(now, read)
	return err != nil || order > 0
}

// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// CacheOptions are those of the manager's cache: limited to namespaces (none:
// all) and, for the operator's own kinds, to a label selector; without contents
// of Secrets and ConfigMaps. A read of a kind that nobody watches is an error
// instead of a new watch.
func CacheOptions(namespaces []string, selector labels.Selector) cache.Options {
	o := cache.Options{
		DefaultTransform:            strip,
		ReaderFailOnMissingInformer: true,
	}
	if len(namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range namespaces {
			o.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	if selector != nil && !selector.Empty() {
		o.ByObject = map[client.Object]cache.ByObject{
			&v1alpha1.CoderDeployment{}: {Label: selector},
			&v1alpha1.CoderSession{}:    {Label: selector},
		}
	}
	return o
}

// within is a client for which nothing exists outside of the watched namespaces. A
// cache that does not watch a namespace fails to read from it, and a session that
// refers to a deployment there could not even be deleted.
type within struct {
	client.Client
	namespaces []string // none: all
}

// Get returns a NotFound error for what is not watched.
func (w within) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if key.Namespace != "" && len(w.namespaces) > 0 && !slices.Contains(w.namespaces, key.Namespace) {
		return apierrors.NewNotFound(schema.GroupResource{}, key.String())
	}
	return w.Client.Get(ctx, key, object, options...)
}

// strip drops what nobody reads. Of metadata-only objects it keeps the operator's
// own annotations: kubectl's last-applied-configuration of a Secret would have its
// contents in it.
func strip(in any) (any, error) {
	object, ok := in.(client.Object)
	if !ok {
		return in, nil
	}
	object.SetManagedFields(nil)
	if meta, ok := in.(*metav1.PartialObjectMetadata); ok {
		for key := range meta.Annotations {
			if !strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/") {
				delete(meta.Annotations, key)
			}
		}
	}
	return in, nil
}

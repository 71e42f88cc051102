// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// CacheOptions returns the options of the manager's cache. It is limited to the given
// namespaces (all, if there are none) and, for the operator's own kinds, to a label
// selector. It never holds contents of Secrets and ConfigMaps. Reading a kind that is
// not watched returns an error instead of starting a watch. Of pods it holds those that ask for a session
// with perPod, and of these what is needed only.
func CacheOptions(namespaces []string, selector labels.Selector) cache.Options {
	o := cache.Options{
		DefaultTransform:            StripUnused,
		ReaderFailOnMissingInformer: true,
	}
	if len(namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range namespaces {
			o.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	o.ByObject = map[client.Object]cache.ByObject{
		&corev1.Pod{}: {Label: hasParent(), Transform: stripPod},
	}
	if selector != nil && !selector.Empty() {
		o.ByObject[&v1alpha1.CoderDeployment{}] = cache.ByObject{Label: selector}
		o.ByObject[&v1alpha1.CoderSession{}] = cache.ByObject{Label: selector}
	}
	return o
}

// hasParent selects the pods that ask for a session with perPod: the webhook has labelled them.
func hasParent() labels.Selector {
	exists, err := labels.NewRequirement(v1alpha1.LabelParent, selection.Exists, nil)
	if err != nil {
		panic(err) // the key is a constant
	}
	return labels.NewSelector().Add(*exists)
}

// stripPod keeps of a pod what the operator needs: its identity, what it asks for, and whether it has
// ended.
func stripPod(in any) (any, error) {
	pod, ok := in.(*corev1.Pod)
	if !ok {
		return in, nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
			Labels:      map[string]string{v1alpha1.LabelParent: pod.Labels[v1alpha1.LabelParent]},
			Annotations: map[string]string{v1alpha1.AnnotationPodSession: pod.Annotations[v1alpha1.AnnotationPodSession]},
		},
		Status: corev1.PodStatus{Phase: pod.Status.Phase},
	}, nil
}

// restrictedClient returns NotFound for objects outside of the watched namespaces. The
// cache would return an error for them, which would prevent even the deletion of a session
// that refers to a deployment in such a namespace.
type restrictedClient struct {
	client.Client
	namespaces []string // empty: all
}

// Get returns a NotFound error for an object in a namespace that is not watched.
func (c restrictedClient) Get(
	ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption,
) error {
	if key.Namespace != "" && len(c.namespaces) > 0 && !slices.Contains(c.namespaces, key.Namespace) {
		return apierrors.NewNotFound(schema.GroupResource{}, key.String())
	}
	return c.Client.Get(ctx, key, object, options...)
}

// StripUnused removes fields that the operator does not use before an object is cached.
// From metadata-only objects it removes all annotations but the operator's own, because
// kubectl's last-applied-configuration of a Secret contains the Secret's data, and from Secrets and
// ConfigMaps all labels but those: a cluster may have a hundred thousand of them.
func StripUnused(in any) (any, error) {
	object, ok := in.(client.Object)
	if !ok {
		return in, nil
	}
	object.SetManagedFields(nil)
	if meta, ok := in.(*metav1.PartialObjectMetadata); ok {
		meta.Annotations = ownKeys(meta.Annotations)
		if meta.Kind == "Secret" || meta.Kind == "ConfigMap" {
			meta.Labels = ownKeys(meta.Labels)
		}
	}
	return in, nil
}

// ownKeys returns a new map with the operator's own labels or annotations; nil if there are none. A map
// whose keys are deleted keeps its size.
func ownKeys(all map[string]string) map[string]string {
	var own map[string]string
	for key, value := range all {
		if strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/") {
			if own == nil {
				own = map[string]string{}
			}
			own[key] = value
		}
	}
	return own
}

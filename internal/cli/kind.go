// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// objectKind is a type of objects: its name for people, and its list type.
type objectKind[T client.Object] struct {
	noun    string // for people, in the singular
	newList func() client.ObjectList
}

var (
	sessionKind = objectKind[*v1alpha1.CoderSession]{"session",
		func() client.ObjectList { return &v1alpha1.CoderSessionList{} }}
	deploymentKind = objectKind[*v1alpha1.CoderDeployment]{"deployment",
		func() client.ObjectList { return &v1alpha1.CoderDeploymentList{} }}
	secretKind = objectKind[*corev1.Secret]{"Secret", func() client.ObjectList { return &corev1.SecretList{} }}
	podKind    = objectKind[*corev1.Pod]{"pod", func() client.ObjectList { return &corev1.PodList{} }}
)

// metadataKind is a kind of which only the metadata is requested.
func metadataKind(noun string, name string) objectKind[*metav1.PartialObjectMetadata] {
	return objectKind[*metav1.PartialObjectMetadata]{noun, func() client.ObjectList {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(name + "List"))
		return list
	}}
}

// selectByName selects one object by its name. A role that allows only that resourceName is enough
// to list and watch it.
func selectByName(namespace, name string) *client.ListOptions {
	return &client.ListOptions{Namespace: namespace, FieldSelector: fields.OneTermEqualSelector("metadata.name", name)}
}

// selectNamespace selects all objects of a namespace; empty: of all namespaces.
func selectNamespace(namespace string) *client.ListOptions {
	return &client.ListOptions{Namespace: namespace}
}

// listAll lists the selected objects in pages, and returns the resource version of the list.
func (k objectKind[T]) listAll(
	ctx context.Context, from client.Reader, selected *client.ListOptions,
) ([]T, string, error) {
	pages := pager.New(func(ctx context.Context, page metav1.ListOptions) (runtime.Object, error) {
		options, list := *selected, k.newList()
		options.Limit, options.Continue = page.Limit, page.Continue
		return list, from.List(ctx, list, &options)
	})
	all, _, err := pages.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, "", err
	}
	accessor, err := meta.ListAccessor(all)
	if err != nil {
		return nil, "", err
	}
	var items []T
	err = meta.EachListItem(all, func(object runtime.Object) error {
		if item, ok := object.(T); ok {
			items = append(items, item)
		}
		return nil
	})
	return items, accessor.GetResourceVersion(), err
}

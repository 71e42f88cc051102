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

// kind is what commands know of a kind of objects.
type kind[T client.Object] struct {
	noun string // of one object, for people
	list func() client.ObjectList
}

var (
	sessionKind    = kind[*v1alpha1.CoderSession]{"session", func() client.ObjectList { return &v1alpha1.CoderSessionList{} }}
	deploymentKind = kind[*v1alpha1.CoderDeployment]{"deployment", func() client.ObjectList { return &v1alpha1.CoderDeploymentList{} }}
	secretKind     = kind[*corev1.Secret]{"Secret", func() client.ObjectList { return &corev1.SecretList{} }}
	podKind        = kind[*corev1.Pod]{"pod", func() client.ObjectList { return &corev1.PodList{} }}
)

// metadataOf is a kind without its contents, which are not even sent.
func metadataOf(noun string, name string) kind[*metav1.PartialObjectMetadata] {
	return kind[*metav1.PartialObjectMetadata]{noun, func() client.ObjectList {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(name + "List"))
		return list
	}}
}

// named selects one object. By this, a right to that one object is enough for listing and watching it.
func named(namespace, name string) *client.ListOptions {
	return &client.ListOptions{Namespace: namespace, FieldSelector: fields.OneTermEqualSelector("metadata.name", name)}
}

// within selects all objects of a namespace; empty: of all namespaces.
func within(namespace string) *client.ListOptions { return &client.ListOptions{Namespace: namespace} }

// read lists what is selected, in pages, and returns the version of the list.
func (k kind[T]) read(ctx context.Context, from client.Reader, selected *client.ListOptions) ([]T, string, error) {
	pages := pager.New(func(ctx context.Context, page metav1.ListOptions) (runtime.Object, error) {
		options, list := *selected, k.list()
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

// SPDX-License-Identifier: Apache-2.0

package stepped

import (
	"context"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// selecting returns a client that reads the operator's own kinds as a cache with a selector does; nil: all.
func selecting(c client.Client, selector labels.Selector) client.Client {
	if selector == nil {
		return c
	}
	return interceptor.NewClient(c.(client.WithWatch), interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption,
		) error {
			if err := c.Get(ctx, key, o, opts...); err != nil {
				return err
			}
			switch o.(type) {
			case *v1alpha1.CoderSession, *v1alpha1.CoderDeployment:
				if !selector.Matches(labels.Set(o.GetLabels())) {
					return apierrors.NewNotFound(schema.GroupResource{}, key.String())
				}
			}
			return nil
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			switch list.(type) {
			case *v1alpha1.CoderSessionList, *v1alpha1.CoderDeploymentList:
				opts = append(opts, client.MatchingLabelsSelector{Selector: selector})
			}
			return c.List(ctx, list, opts...)
		},
	})
}

// counting returns a reader that counts in Direct what it is asked.
func (w *World) counting(c client.Client) client.Reader {
	if w.Direct == nil {
		w.Direct = map[string]int{}
	}
	return interceptor.NewClient(c.(client.WithWatch), interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption,
		) error {
			kind := reflect.TypeOf(o).Elem().Name()
			if m, ok := o.(*metav1.PartialObjectMetadata); ok {
				kind = "meta " + m.Kind
			}
			w.Direct["get "+kind+" "+key.Name]++
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			read := "list " + reflect.TypeOf(list).Elem().Name()
			w.Direct[read]++
			if err := w.DirectErrors[read]; err != nil {
				return err
			}
			return c.List(ctx, list, opts...)
		},
	})
}

// SPDX-License-Identifier: Apache-2.0

package stepped

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// Verbs of requests.
const (
	Create      = "create"
	Update      = "update"
	Patch       = "patch"
	PatchStatus = "patch status"
	Delete      = "delete"
	Try         = "try" // a dry run
)

// Request is a request of the operator that changes something.
type Request struct {
	Verb string
	// Kind of the object, such as "Secret".
	Kind string
	Name string
}

// Hook is called with a request. Its error is the answer.
type Hook func(Request) error

type hooks struct {
	before, after Hook
	requests      []Request
}

// Before sets the hook that is called before each request; the request does not arrive if it returns
// an error. Nil: none.
func (w *World) Before(hook Hook) { w.hooks.before = hook }

// After sets the hook that is called after each request that succeeded. Nil: none.
func (w *World) After(hook Hook) { w.hooks.after = hook }

// Requests returns those that arrived or were refused since the last call, and forgets them.
func (w *World) Requests() []Request {
	requests := w.hooks.requests
	w.hooks.requests = nil
	return requests
}

// CountRequests returns how often a request was made since the last call of Requests.
func (w *World) CountRequests(r Request) int {
	return len(slices.DeleteFunc(slices.Clone(w.hooks.requests), func(made Request) bool { return made != r }))
}

func (w *World) send(verb string, dryRun bool, object client.Object, request func() error) error {
	r := Request{Verb: verb, Kind: kindOf(object), Name: object.GetName()}
	if dryRun {
		r.Verb = Try
	}
	w.hooks.requests = append(w.hooks.requests, r)
	if w.hooks.before != nil {
		if err := w.hooks.before(r); err != nil {
			return err
		}
	}
	if err := request(); err != nil || w.hooks.after == nil {
		return err
	}
	return w.hooks.after(r)
}

func kindOf(object client.Object) string {
	if meta, ok := object.(*metav1.PartialObjectMetadata); ok {
		return meta.Kind
	}
	return reflect.TypeOf(object).Elem().Name()
}

// wrapClient returns the operator's client.
func (w *World) wrapClient() client.Client {
	return interceptor.NewClient(w.API.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			dryRun := len((&client.CreateOptions{}).ApplyOptions(opts).DryRun) > 0
			return w.send(Create, dryRun, o, func() error {
				w.uids++
				o.SetUID(types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", w.uids, w.uids)))
				return c.Create(ctx, o, opts...)
			})
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			dryRun := len((&client.UpdateOptions{}).ApplyOptions(opts).DryRun) > 0
			return w.send(Update, dryRun, o, func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(
			ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption,
		) error {
			return w.send(Patch, false, o, func() error { return c.Patch(ctx, o, patch, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.send(Delete, false, o, func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourcePatch: func(
			ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch,
			opts ...client.SubResourcePatchOption,
		) error {
			return w.send(PatchStatus, false, o, func() error { return c.SubResource(sub).Patch(ctx, o, patch, opts...) })
		},
	})
}

// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

// Watch is a kind of object whose changes concern a controller. Watches are data, so that tests
// deliver the same events as a manager does.
type Watch struct {
	// Object is an empty object of the kind.
	Object client.Object
	// MetadataOnly limits the cache to the objects' metadata.
	MetadataOnly bool
	Handler      handler.EventHandler
	// Predicates must all pass an event; none: all events pass.
	Predicates []predicate.Predicate
	// Interrupt ends what a pass over an object waits for, which is called at its deletion; nil: nothing
	// is called.
	Interrupt func(types.NamespacedName)
}

// Controller is a controller that is to be added to a manager.
type Controller struct {
	Name       string
	Reconciler reconcile.Reconciler
	// Queue adds keys to the controller's work queue.
	Queue   *Queue
	Watches []Watch
	// Workers is the number of passes that run at the same time.
	Workers int
}

// AddTo adds the controller to a manager.
//
// Warm-up is enabled: a replica that is not the leader fills its caches, so that it can take over
// without delay.
func (c Controller) AddTo(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).Named(c.Name).WatchesRawSource(c.Queue.AsSource()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: c.Workers, EnableWarmup: ptr.To(true), ReconciliationTimeout: passTimeout,
		})
	for _, w := range c.Watches {
		if w.Interrupt != nil {
			w.Handler = InterruptingAtDeletion(w.Handler, w.Interrupt)
		}
		if w.MetadataOnly {
			b = b.WatchesMetadata(w.Object, w.Handler, builder.WithPredicates(w.Predicates...))
		} else {
			b = b.Watches(w.Object, w.Handler, builder.WithPredicates(w.Predicates...))
		}
	}
	if err := b.Complete(c.Reconciler); err != nil {
		return fmt.Errorf("add controller %s: %w", c.Name, err)
	}
	return nil
}

// SpecOrRequestChanged passes changes of the spec and of the request that is returned by the given
// function.
func SpecOrRequestChanged(request func(client.Object) string) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || request(e.ObjectOld) != request(e.ObjectNew)
	}}
}

// WorkQueue is the work queue of a controller.
type WorkQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// OnChange returns an event handler for objects that others refer to. It calls handle for each that
// was created, changed or deleted (gone), but not for those that exist when the operator starts, nor
// for events without a change.
func OnChange(handle func(ctx context.Context, object client.Object, gone bool, q WorkQueue)) handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q WorkQueue) {
			if !e.IsInInitialList {
				handle(ctx, e.Object, false, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q WorkQueue) {
			if e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion() {
				handle(ctx, e.ObjectNew, false, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q WorkQueue) { handle(ctx, e.Object, true, q) },
	}
}

// EnqueueAfter returns an event handler that enqueues what an object belongs to, after a delay in which further
// events cause no other pass. of returns its key, and none for an object that belongs to nothing. If that has
// changed, what the object belonged to before is enqueued, too.
func EnqueueAfter(delay time.Duration, of func(client.Object) types.NamespacedName) handler.EventHandler {
	enqueue := func(object client.Object, q WorkQueue) {
		if key := of(object); key.Name != "" {
			q.AddAfter(reconcile.Request{NamespacedName: key}, delay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q WorkQueue) { enqueue(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q WorkQueue) {
			if of(e.ObjectOld) != of(e.ObjectNew) {
				enqueue(e.ObjectOld, q)
			}
			enqueue(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q WorkQueue) { enqueue(e.Object, q) },
	}
}

// RequestFor returns the request for an object.
func RequestFor(object client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
}

// LogReady logs a transition of the condition Ready, so that the log shows each failure that needs
// attention and its recovery.
func LogReady(ctx context.Context, before, after []metav1.Condition) {
	for _, transition := range status.Transitions(before, after) {
		if now := transition.After; now != nil && now.Type == v1alpha1.ConditionReady {
			ctrl.LoggerFrom(ctx).Info("readiness changed", "ready", now.Status, "reason", now.Reason, "message", now.Message)
		}
	}
}

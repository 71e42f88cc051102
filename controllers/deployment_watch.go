// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

// +kubebuilder:rbac:groups=credentials.coder.com,resources=coderdeployments,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=credentials.coder.com,resources=coderdeployments/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

type workQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]

func (r *DeploymentReconciler) watch(mgr ctrl.Manager, own *queue, concurrent int) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("coderdeployment").
		WatchesRawSource(own.asSource()).
		Watches(&v1alpha1.CoderDeployment{}, r.onDeployment(), builder.WithPredicates(deploymentChanged())).
		WatchesMetadata(&corev1.Secret{}, r.onReferenced("Secret")).
		WatchesMetadata(&corev1.ConfigMap{}, r.onReferenced("ConfigMap")).
		Watches(&v1alpha1.CoderSession{}, onSessionOf(), builder.WithPredicates(sessionCountChanged())).
		WithOptions(controllerOptions(concurrent)).
		Complete(r)
}

// onDeployment returns the event handler for deployments. A change of the spec starts the
// quiet period, like a change of a referenced object. Deletions and requests in annotations
// enqueue the deployment without delay.
func (r *DeploymentReconciler) onDeployment() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q workQueue) {
			if e.IsInInitialList {
				q.Add(requestFor(e.Object)) // part of the initial list, not a change
				return
			}
			r.settleUnlessDeleted(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workQueue) {
			if e.ObjectOld.GetGeneration() == e.ObjectNew.GetGeneration() {
				q.Add(requestFor(e.ObjectNew)) // a request in an annotation, not a change of settings
				return
			}
			r.settleUnlessDeleted(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q workQueue) { q.Add(requestFor(e.Object)) },
	}
}

// deploymentChanged passes changes of the spec and requests for a verification.
func deploymentChanged() predicate.Predicate {
	return specOrRequestChanged(func(object client.Object) string {
		return object.(*v1alpha1.CoderDeployment).VerificationRequest()
	})
}

// specOrRequestChanged passes changes of the spec and of the request that is returned by
// the given function.
func specOrRequestChanged(request func(client.Object) string) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || request(e.ObjectOld) != request(e.ObjectNew)
	}}
}

// settleUnlessDeleted starts the quiet period of a changed deployment. A deployment that is
// being deleted is enqueued instead.
func (r *DeploymentReconciler) settleUnlessDeleted(object client.Object, q workQueue) {
	if !object.GetDeletionTimestamp().IsZero() {
		q.Add(requestFor(object))
		return
	}
	r.markSettling(object.(*v1alpha1.CoderDeployment))
}

// markSettling starts or extends a deployment's quiet period.
func (r *DeploymentReconciler) markSettling(d *v1alpha1.CoderDeployment) {
	key := client.ObjectKeyFromObject(d)
	if !r.debouncer.Settling(key) {
		r.metrics.SettlingBurst(key.Namespace, key.Name)
	}
	r.debouncer.Mark(key, quietWindow(d))
}

func quietWindow(d *v1alpha1.CoderDeployment) debounce.Window {
	return debounce.Window{
		Quiet:    d.Spec.Verify.QuietPeriod.Or(deployment.DefaultQuietPeriod),
		MaxDelay: d.Spec.Verify.MaxDelay.Or(deployment.DefaultMaxDelay),
	}
}

// onReferenced returns the event handler for referenced objects. It starts the quiet period
// of the deployments that refer to the object; its end enqueues them (B04).
func (r *DeploymentReconciler) onReferenced(kind string) handler.EventHandler {
	mark := func(ctx context.Context, object client.Object) {
		reference := authconfig.Reference{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName()}
		var list v1alpha1.CoderDeploymentList
		err := r.client.List(ctx, &list, client.MatchingFields{byReference: reference.String()}, client.UnsafeDisableDeepCopy)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "deployments that refer to an object could not be found",
				"object", reference.String())
			return
		}
		for i := range list.Items {
			r.markSettling(&list.Items[i])
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, _ workQueue) {
			if !e.IsInInitialList {
				mark(ctx, e.Object)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, _ workQueue) {
			if e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion() {
				mark(ctx, e.ObjectNew)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, _ workQueue) { mark(ctx, e.Object) },
	}
}

// onSessionOf returns the event handler that enqueues the deployment of a session that was
// created, deleted or changed. Events within coalesceDelay cause only one pass.
func onSessionOf() handler.EventHandler {
	later := func(object client.Object, q workQueue) {
		q.AddAfter(reconcile.Request{NamespacedName: object.(*v1alpha1.CoderSession).DeploymentKey()}, coalesceDelay)
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q workQueue) { later(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workQueue) { later(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q workQueue) {
			q.Add(reconcile.Request{NamespacedName: e.Object.(*v1alpha1.CoderSession).DeploymentKey()})
		},
	}
}

// sessionCountChanged passes changes that affect a deployment's session counts or its
// retention decisions.
func sessionCountChanged() predicate.Predicate {
	reason := func(s *v1alpha1.CoderSession) string {
		ready := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil {
			return ""
		}
		return ready.Reason
	}
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, is := e.ObjectOld.(*v1alpha1.CoderSession), e.ObjectNew.(*v1alpha1.CoderSession)
		return reason(was) != reason(is) || was.Generation != is.Generation ||
			!was.Status.LastActivityTime.Equal(is.Status.LastActivityTime)
	}}
}

func requestFor(object client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
}

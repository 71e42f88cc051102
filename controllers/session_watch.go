// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

// +kubebuilder:rbac:groups=credentials.coder.com,resources=codersessions,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=credentials.coder.com,resources=codersessions/status,verbs=patch
// +kubebuilder:rbac:groups=credentials.coder.com,resources=codersessions/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

func (r *SessionReconciler) watch(mgr ctrl.Manager, own *queue, concurrent int) error {
	b := ctrl.NewControllerManagedBy(mgr).
		Named("codersession").
		WatchesRawSource(own.asSource()).
		Watches(&v1alpha1.CoderSession{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(sessionChanged())).
		WatchesMetadata(&corev1.Secret{}, r.onSecret()).
		WithOptions(controllerOptions(concurrent))
	if r.readsNamespaceLabels {
		b = b.WatchesMetadata(&corev1.Namespace{}, r.onNamespace(), builder.WithPredicates(labelsChanged()))
	}
	return b.Complete(r)
}

// sessionChanged passes changes of the spec and renewal requests.
func sessionChanged() predicate.Predicate {
	return specOrRequestChanged(func(object client.Object) string {
		return object.(*v1alpha1.CoderSession).RenewalRequest()
	})
}

// onSecret returns the event handler for Secrets. It enqueues the sessions whose generated
// Secret was modified by another writer, and starts the quiet period of changed supplied
// tokens. Writes of the operator itself are ignored.
func (r *SessionReconciler) onSecret() handler.EventHandler {
	handle := func(ctx context.Context, object client.Object, gone bool, q workQueue) {
		meta, ok := object.(*metav1.PartialObjectMetadata)
		if !ok || !gone && r.secrets.Own(meta) {
			return
		}
		for _, session := range r.sessionsReferring(ctx, bySecret, meta) {
			q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&session)})
		}
		for _, session := range r.sessionsReferring(ctx, bySource, meta) {
			r.debouncer.Mark(client.ObjectKeyFromObject(&session), r.quietWindow(ctx, &session))
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q workQueue) {
			if !e.IsInInitialList {
				handle(ctx, e.Object, false, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workQueue) {
			if e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion() {
				handle(ctx, e.ObjectNew, false, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q workQueue) { handle(ctx, e.Object, true, q) },
	}
}

// sessionsReferring lists the sessions that refer to a Secret, by the given index.
func (r *SessionReconciler) sessionsReferring(
	ctx context.Context, field string, meta *metav1.PartialObjectMetadata,
) []v1alpha1.CoderSession {
	sessions, err := sessionsBy(ctx, r.client, field, meta.Name, client.InNamespace(meta.Namespace))
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "sessions of a Secret could not be found", "secret", meta.Namespace+"/"+meta.Name)
	}
	return sessions
}

// quietWindow returns the quiet period of a session's supplied token, which is that of its
// deployment.
func (r *SessionReconciler) quietWindow(ctx context.Context, s *v1alpha1.CoderSession) debounce.Window {
	d := &v1alpha1.CoderDeployment{}
	if err := r.client.Get(ctx, s.DeploymentKey(), d); err != nil {
		return debounce.Window{Quiet: deployment.DefaultQuietPeriod, MaxDelay: deployment.DefaultMaxDelay}
	}
	return quietWindow(d)
}

// onNamespace returns the event handler for namespaces. It enqueues the sessions of a
// namespace whose labels have changed, because access rules select by labels.
func (r *SessionReconciler) onNamespace() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, object client.Object) []reconcile.Request {
		var list v1alpha1.CoderSessionList
		if err := r.client.List(ctx, &list, client.InNamespace(object.GetName()), client.UnsafeDisableDeepCopy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "sessions of a namespace could not be found", "namespace", object.GetName())
			return nil
		}
		requests := make([]reconcile.Request, 0, len(list.Items))
		for i := range list.Items {
			if key := list.Items[i].DeploymentKey(); key.Namespace != object.GetName() {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
			}
		}
		return requests
	})
}

func labelsChanged() predicate.Predicate {
	never := func(event.DeleteEvent) bool { return false }
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList },
		DeleteFunc: never,
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
		},
	}
}

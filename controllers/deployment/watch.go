// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

// +kubebuilder:rbac:groups=credentials.coder.com,resources=coderdeployments,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=credentials.coder.com,resources=coderdeployments/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Watches are the kinds of objects whose changes concern deployments.
func (r *Reconciler) Watches() []reconcile.Watch {
	return []reconcile.Watch{
		{
			Object: &v1alpha1.CoderDeployment{}, Handler: r.onDeployment(), Interrupt: r.Interrupt,
			Predicates: []predicate.Predicate{reconcile.SpecOrRequestChanged(verificationRequest)},
		},
		{Object: &corev1.Secret{}, MetadataOnly: true, Handler: r.onReferenced("Secret")},
		{Object: &corev1.ConfigMap{}, MetadataOnly: true, Handler: r.onReferenced("ConfigMap")},
		{
			Object: &v1alpha1.CoderSession{}, Handler: onSessionOf(),
			Predicates: []predicate.Predicate{sessionCountChanged()},
		},
	}
}

func verificationRequest(object client.Object) string {
	return object.(*v1alpha1.CoderDeployment).VerificationRequest()
}

// onDeployment returns the event handler for deployments. A change of the spec starts the
// quiet period, like a change of a referenced object. Deletions and requests in annotations
// enqueue the deployment without delay.
func (r *Reconciler) onDeployment() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q reconcile.WorkQueue) {
			if e.IsInInitialList {
				q.Add(reconcile.RequestFor(e.Object)) // part of the initial list, not a change
				return
			}
			r.settleUnlessDeleted(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q reconcile.WorkQueue) {
			if e.ObjectOld.GetGeneration() == e.ObjectNew.GetGeneration() {
				q.Add(reconcile.RequestFor(e.ObjectNew)) // a request in an annotation, not a change of settings
				return
			}
			r.settleUnlessDeleted(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q reconcile.WorkQueue) {
			q.Add(reconcile.RequestFor(e.Object))
		},
	}
}

// settleUnlessDeleted starts the quiet period of a changed deployment. A deployment that is
// being deleted is enqueued instead.
func (r *Reconciler) settleUnlessDeleted(object client.Object, q reconcile.WorkQueue) {
	if !object.GetDeletionTimestamp().IsZero() {
		q.Add(reconcile.RequestFor(object))
		return
	}
	r.markSettling(object.(*v1alpha1.CoderDeployment))
}

// markSettling starts or extends a deployment's quiet period.
func (r *Reconciler) markSettling(d *v1alpha1.CoderDeployment) {
	key := client.ObjectKeyFromObject(d)
	if !r.o.Debouncer.Settling(key) {
		r.o.Metrics.SettlingBurst(key.Namespace, key.Name, r.o.Clock.Now())
	}
	r.o.Debouncer.Mark(key, quietWindow(d))
}

func quietWindow(d *v1alpha1.CoderDeployment) debounce.Window {
	quiet, maxDelay := deployment.QuietPeriod(d)
	return debounce.Window{Quiet: quiet, MaxDelay: maxDelay}
}

// onReferenced returns the event handler for referenced objects. It starts the quiet period
// of the deployments that refer to the object; its end enqueues them (B04).
func (r *Reconciler) onReferenced(kind string) handler.EventHandler {
	mark := func(ctx context.Context, object client.Object, _ bool, _ reconcile.WorkQueue) {
		reference := authconfig.Reference{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName()}
		deployments, err := lookup.DeploymentsByReference(ctx, r.o.Client, reference)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "deployments that refer to an object could not be found",
				"object", reference.String())
			return
		}
		for i := range deployments {
			r.markSettling(&deployments[i])
		}
	}
	return reconcile.OnChange(mark)
}

// coalesceDelay is how long a deployment waits for further changes of its sessions.
const coalesceDelay = time.Second

// onSessionOf returns the event handler that enqueues the deployment of a session that was
// created, deleted or changed. Events within coalesceDelay cause only one pass, however many sessions there are.
// The counters in status are written less often (B161).
func onSessionOf() handler.EventHandler {
	return reconcile.EnqueueAfter(coalesceDelay, func(object client.Object) types.NamespacedName {
		return object.(*v1alpha1.CoderSession).DeploymentKey()
	})
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
			deployment.HoldsCredential(was) != deployment.HoldsCredential(is) ||
			!was.Status.LastActivityTime.Equal(is.Status.LastActivityTime)
	}}
}

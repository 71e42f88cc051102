// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

// +kubebuilder:rbac:groups=credentials.coder.com,resources=codersessions,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=credentials.coder.com,resources=codersessions/status,verbs=patch
// +kubebuilder:rbac:groups=credentials.coder.com,resources=codersessions/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=resourcequotas,verbs=list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings;mutatingwebhookconfigurations;validatingadmissionpolicies;validatingadmissionpolicybindings;validatingwebhookconfigurations,verbs=list;watch

// Watches are the kinds of objects whose changes concern sessions.
func (r *Reconciler) Watches() []reconcile.Watch {
	watches := []reconcile.Watch{
		{
			Object: &v1alpha1.CoderSession{}, Handler: &handler.EnqueueRequestForObject{},
			Interrupt:  r.Interrupt,
			Predicates: []predicate.Predicate{reconcile.SpecOrRequestChanged(request)},
		},
		{Object: &corev1.Secret{}, MetadataOnly: true, Handler: r.onSecret()},
	}
	if r.tools.ServesPods {
		watches = append(watches,
			reconcile.Watch{
				Object: &v1alpha1.CoderSession{}, Handler: onSessionOfPod(),
				Predicates: []predicate.Predicate{deletionBegins()},
			},
			reconcile.Watch{Object: &corev1.Pod{}, Handler: onPod(), Predicates: []predicate.Predicate{podWaits()}},
		)
	}
	watches = append(watches, r.admissionWatches()...)
	if r.tools.NamespaceLabels {
		watches = append(watches, reconcile.Watch{
			Object: &corev1.Namespace{}, MetadataOnly: true, Handler: r.onNamespace(),
			Predicates: []predicate.Predicate{labelsChanged()},
		})
	}
	return watches
}

// admissionWatches are the kinds of objects that may make the API server refuse a Secret where it took one
// before. No session waits for a change of them.
func (r *Reconciler) admissionWatches() []reconcile.Watch {
	if len(r.tools.AdmissionKinds) == 0 {
		return nil
	}
	watches := []reconcile.Watch{{Object: &corev1.ResourceQuota{}, Handler: handler.Funcs{}}}
	changed := reconcile.OnChange(func(context.Context, client.Object, bool, reconcile.WorkQueue) {
		r.tools.Writes.forgetAccepted()
	})
	for _, kind := range r.tools.AdmissionKinds {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(kind)
		watches = append(watches, reconcile.Watch{
			Object: object, MetadataOnly: true, Handler: changed,
			Predicates: []predicate.Predicate{predicate.GenerationChangedPredicate{}},
		})
	}
	return watches
}

// request is what a person asks for by annotations.
func request(object client.Object) string {
	s := object.(*v1alpha1.CoderSession)
	return s.RenewalRequest() + " " + s.Annotations[v1alpha1.AnnotationLoginPort]
}

// onSecret returns the event handler for Secrets. It enqueues the sessions whose generated
// Secret was modified by another writer, and starts the quiet period of changed supplied
// tokens. Writes of the operator itself are ignored.
func (r *Reconciler) onSecret() handler.EventHandler {
	handle := func(ctx context.Context, object client.Object, gone bool, q reconcile.WorkQueue) {
		meta, ok := object.(*metav1.PartialObjectMetadata)
		if !ok || !gone && r.tools.Secrets.Own(meta) {
			return
		}
		key := client.ObjectKeyFromObject(meta)
		published, err := lookup.SessionsOfSecret(ctx, r.tools.Client, key)
		for i := range published {
			q.Add(reconcile.RequestFor(&published[i]))
		}
		supplied, sourceErr := lookup.SessionsBy(ctx, r.tools.Client, lookup.BySource, key.Name,
			client.InNamespace(key.Namespace))
		for i := range supplied {
			r.o.Debouncer.Mark(client.ObjectKeyFromObject(&supplied[i]), r.quietWindow(ctx, &supplied[i]))
		}
		if err = errors.Join(err, sourceErr); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "sessions of a Secret could not be found", "secret", key)
		}
	}
	return reconcile.OnChange(handle)
}

// quietWindow returns the quiet period of a session's supplied token, which is that of its
// deployment.
func (r *Reconciler) quietWindow(ctx context.Context, s *v1alpha1.CoderSession) debounce.Window {
	d := &v1alpha1.CoderDeployment{}
	if err := r.tools.Client.Get(ctx, s.DeploymentKey(), d); err != nil {
		d = &v1alpha1.CoderDeployment{} // the defaults
	}
	quiet, maxDelay := deployment.QuietPeriod(d)
	return debounce.Window{Quiet: quiet, MaxDelay: maxDelay}
}

// onNamespace returns the event handler for namespaces. It enqueues the sessions of a
// namespace whose labels have changed, because access rules select by labels.
func (r *Reconciler) onNamespace() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, object client.Object) []ctrl.Request {
		var list v1alpha1.CoderSessionList
		err := r.tools.Client.List(ctx, &list, client.InNamespace(object.GetName()), client.UnsafeDisableDeepCopy)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "sessions of a namespace could not be found", "namespace", object.GetName())
			return nil
		}
		requests := make([]ctrl.Request, 0, len(list.Items))
		for i := range list.Items {
			if key := list.Items[i].DeploymentKey(); key.Namespace != object.GetName() {
				requests = append(requests, reconcile.RequestFor(&list.Items[i]))
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

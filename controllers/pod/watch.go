// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// Watches are the kinds of objects whose changes concern the sessions of pods. Their handlers only enqueue:
// whom else a change concerns, the passes find out.
func (r *Reconciler) Watches() []reconcile.Watch {
	return []reconcile.Watch{
		{
			Object: &corev1.Pod{}, Handler: onPod(),
			Predicates: []predicate.Predicate{podChanged()},
		},
		{
			Object: &v1alpha1.CoderSession{}, Handler: &handler.EnqueueRequestForObject{},
			Predicates: []predicate.Predicate{reconcile.SpecOrRequestChanged(beyondSpec)},
		},
	}
}

// podChanged passes what decides about the session of a pod; a pod changes its status more often.
func podChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, is := e.ObjectOld.(*corev1.Pod), e.ObjectNew.(*corev1.Pod)
		return podsession.SessionName(was) != podsession.SessionName(is) ||
			was.Labels[v1alpha1.LabelParent] != is.Labels[v1alpha1.LabelParent] ||
			podsession.HasEnded(was) != podsession.HasEnded(is) || podsession.Waits(was) != podsession.Waits(is)
	}}
}

// onPod returns the event handler for pods. It enqueues the names of their sessions.
func onPod() handler.EventHandler {
	return reconcile.EnqueueAfter(0, func(object client.Object) types.NamespacedName {
		pod := object.(*corev1.Pod)
		return types.NamespacedName{Namespace: pod.Namespace, Name: podsession.SessionName(pod)}
	})
}

// beyondSpec is what else decides about a session of a pod, or about those of a parent.
func beyondSpec(object client.Object) string {
	s := object.(*v1alpha1.CoderSession)
	var owner types.UID
	if pod := podsession.Owner(s); pod != nil {
		owner = pod.UID
	}
	parent := s.Labels[v1alpha1.LabelParent]
	return fmt.Sprint(s.RenewalRequest(), " ", s.DeletionTimestamp.IsZero(), " ", parent, " ", owner)
}

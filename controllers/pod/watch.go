// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// Watches are the kinds of objects whose changes concern the sessions of pods.
func (r *Reconciler) Watches() []reconcile.Watch {
	return []reconcile.Watch{
		{
			Object: &corev1.Pod{}, Handler: r.onPod(),
			Predicates: []predicate.Predicate{podChanged()},
		},
		{
			Object: &v1alpha1.CoderSession{}, Handler: r.onSession(),
			Predicates: []predicate.Predicate{reconcile.SpecOrRequestChanged(beyondSpec)},
		},
	}
}

// podChanged passes what decides about the session of a pod; a pod changes its status more often.
func podChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, is := e.ObjectOld.(*corev1.Pod), e.ObjectNew.(*corev1.Pod)
		return podsession.SessionName(was) != podsession.SessionName(is) ||
			podsession.HasEnded(was) != podsession.HasEnded(is) || podsession.Waits(was) != podsession.Waits(is)
	}}
}

// onPod returns the event handler for pods. It enqueues the names of their sessions.
func (r *Reconciler) onPod() handler.EventHandler {
	enqueue := func(object client.Object, q reconcile.WorkQueue) {
		pod := object.(*corev1.Pod)
		if name := podsession.SessionName(pod); name != "" {
			q.Add(ctrl.Request{NamespacedName: types.NamespacedName{Namespace: pod.Namespace, Name: name}})
		}
	}
	// A pod that no longer waits may have been before others.
	left := func(ctx context.Context, object client.Object) {
		if pod := object.(*corev1.Pod); podsession.Waits(pod) {
			r.wakeWaiting(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.LabelParent]})
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q reconcile.WorkQueue) { enqueue(e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q reconcile.WorkQueue) {
			enqueue(e.ObjectOld, q)
			enqueue(e.ObjectNew, q)
			left(ctx, e.ObjectOld)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q reconcile.WorkQueue) {
			enqueue(e.Object, q)
			left(ctx, e.Object)
		},
	}
}

// beyondSpec is what else decides about a session of a pod, or about those of a parent.
func beyondSpec(object client.Object) string {
	s := object.(*v1alpha1.CoderSession)
	var owner types.UID
	if pod := podsession.Owner(s); pod != nil {
		owner = pod.UID
	}
	return fmt.Sprint(s.RenewalRequest(), " ", s.DeletionTimestamp.IsZero(), " ", podsession.Parent(s).Name, " ", owner)
}

// onSession returns the event handler for sessions. That of a pod enqueues its own name, and those that
// wait for its place as soon as it is being deleted; that of a session with perPod all of its pods.
func (r *Reconciler) onSession() handler.EventHandler {
	changed := func(ctx context.Context, object client.Object, gone bool, q reconcile.WorkQueue) {
		s := object.(*v1alpha1.CoderSession)
		if podsession.IsOfPod(s) {
			q.Add(reconcile.RequestFor(s))
			if gone || s.DeletionTimestamp != nil {
				r.wakeWaiting(ctx, podsession.Parent(s))
			}
			return
		}
		r.enqueueSessions(ctx, s, q)
		r.wakeWaiting(ctx, client.ObjectKeyFromObject(s))
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q reconcile.WorkQueue) {
			changed(ctx, e.Object, false, q)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q reconcile.WorkQueue) {
			changed(ctx, e.ObjectNew, false, q)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q reconcile.WorkQueue) {
			changed(ctx, e.Object, true, q)
		},
	}
}

// enqueueSessions enqueues the sessions of all pods of a session with perPod.
func (r *Reconciler) enqueueSessions(ctx context.Context, parent *v1alpha1.CoderSession, q reconcile.WorkQueue) {
	sessions, err := lookup.SessionsBy(ctx, r.o.Client, lookup.ByParent, parent.Name, client.InNamespace(parent.Namespace))
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "the sessions of pods could not be found", "parent", parent.Name)
		return
	}
	for i := range sessions {
		q.Add(reconcile.RequestFor(&sessions[i]))
	}
}

// wakeWaiting enqueues as many of the pods that wait, oldest first, as may be served now. If the
// session does not serve any, all are: they learn why.
func (r *Reconciler) wakeWaiting(ctx context.Context, parent types.NamespacedName) {
	if parent.Name == "" {
		return
	}
	found, err := lookup.PodsOfSession(ctx, r.o.Client, parent)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "the pods that wait could not be found", "parent", parent.Name)
		return
	}
	waiting := found.Waiting
	s := &v1alpha1.CoderSession{}
	if err := r.o.Client.Get(ctx, parent, s); err == nil && s.Spec.PerPod != nil && !s.Spec.Paused {
		room := s.Spec.PerPod.Limit() - podsession.CountLive(found.Sessions)
		waiting = waiting[:min(len(waiting), max(room, 0))]
	}
	for _, pod := range waiting {
		r.o.Queue.Add(types.NamespacedName{Namespace: parent.Namespace, Name: pod.SessionName}, 0)
	}
}

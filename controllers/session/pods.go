// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// observePods counts the pods of a session with perPod.
func (r *Reconciler) observePods(ctx context.Context, s *v1alpha1.CoderSession) (session.Pods, error) {
	seen := session.Pods{Enabled: r.tools.ServesPods}
	if s.Spec.PerPod == nil || !r.tools.ServesPods {
		return seen, nil
	}
	found, err := lookup.PodsOfSession(ctx, r.tools.Client, client.ObjectKeyFromObject(s))
	if err != nil {
		return seen, err
	}
	seen.Counts = podsession.Count(s, found.Sessions, len(found.Waiting))
	if seen.Refusal = r.tools.PodRefusals.of(client.ObjectKeyFromObject(s)); seen.Refusal != "" {
		seen.Counts.Refused = int32(len(found.Waiting)) //nolint:gosec // there are fewer pods than that
	}
	return seen, nil
}

// recordPodDelay records how long the pod that a session belongs to has waited for its Secret.
func (t *Tools) recordPodDelay(ctx context.Context, s *v1alpha1.CoderSession) {
	owner := podsession.Owner(s)
	if owner == nil {
		return
	}
	pod := &corev1.Pod{}
	err := t.Client.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: owner.Name}, pod)
	if err != nil || pod.UID != owner.UID {
		return // it has ended, and nothing waits
	}
	deployment := s.DeploymentKey()
	t.Metrics.PodSecret(deployment.Namespace, deployment.Name, t.Clock.Since(pod.CreationTimestamp.Time))
}

// countDelay is how long the counts of pods in the status of their session may be behind. Changes within
// it cost one write.
const countDelay = time.Second

// onSessionOfPod returns the event handler for the sessions of pods. It enqueues their parent, which
// counts them.
func onSessionOfPod() handler.EventHandler {
	return enqueueParent(func(object client.Object) string {
		return podsession.Parent(object.(*v1alpha1.CoderSession)).Name
	})
}

// onPod returns the event handler for pods. It enqueues the session with perPod that they ask for.
func onPod() handler.EventHandler {
	return enqueueParent(func(object client.Object) string { return object.GetLabels()[v1alpha1.LabelParent] })
}

// podWaits passes events after which another number of pods may wait for a session.
func podWaits() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return podsession.Waits(e.ObjectOld.(*corev1.Pod)) != podsession.Waits(e.ObjectNew.(*corev1.Pod))
	}}
}

// deletionBegins passes no updates but the one with which a deletion begins.
func deletionBegins() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetDeletionTimestamp().IsZero() && !e.ObjectNew.GetDeletionTimestamp().IsZero()
	}}
}

// enqueueParent returns an event handler that enqueues a session with perPod.
func enqueueParent(parent func(client.Object) string) handler.EventHandler {
	return reconcile.EnqueueAfter(countDelay, func(object client.Object) types.NamespacedName {
		return types.NamespacedName{Namespace: object.GetNamespace(), Name: parent(object)}
	})
}

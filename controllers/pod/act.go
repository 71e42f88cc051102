// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// The rights to watch pods and to create and delete sessions are in config/webhook/pods_role.yaml and not
// among the generated ones: an operator without --pod-sessions does not have them.

// act carries out the action of a plan.
func (r *Reconciler) act(
	ctx context.Context, key types.NamespacedName, o podsession.Observation, plan podsession.Plan,
) error {
	if plan.Action != podsession.Nothing {
		ctrl.LoggerFrom(ctx).V(1).Info("carrying out an action", "action", plan.Action)
	}
	switch plan.Action {
	case podsession.Create:
		return r.createSession(ctx, key, o, plan)
	case podsession.Update:
		return r.updateSession(ctx, o, plan)
	case podsession.Delete:
		uid := o.Session.UID
		return client.IgnoreNotFound(r.o.Client.Delete(ctx, o.Session, client.Preconditions{UID: &uid}))
	case podsession.Nothing:
	}
	return nil
}

// createSession creates the session of a pod, with the finalizer, which saves a write later.
func (r *Reconciler) createSession(
	ctx context.Context, key types.NamespacedName, o podsession.Observation, plan podsession.Plan,
) error {
	s := &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name,
			Labels: r.labelsFor(o.Parent),
			Annotations: map[string]string{
				v1alpha1.AnnotationPod: plan.Pod.Name, v1alpha1.AnnotationParentUID: string(o.Parent.UID),
			},
			Finalizers: []string{v1alpha1.SessionFinalizer},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "Pod", Name: plan.Pod.Name, UID: plan.Pod.UID, Controller: ptr.To(true),
			}},
		},
		Spec: plan.Spec,
	}
	setRenewalRequest(s, plan.RenewalRequest)
	err := r.o.Client.Create(ctx, s)
	switch {
	case err == nil:
		r.o.Created(s)
		r.o.Refused(client.ObjectKeyFromObject(o.Parent), "")
		// The trace of a token to its pod after both are gone: a token's name has the first part of this UID.
		ctrl.LoggerFrom(ctx).Info("created the session of a pod", "pod", plan.Pod.Name, "parent", o.Parent.Name,
			"uid", s.UID)
	case isNotCreated(err):
		r.places.giveBack(key)
	}
	return err
}

// isNotCreated reports whether an error says for certain that no object was created. After others, such
// as one without an answer, there may be one.
func isNotCreated(err error) bool {
	return !apierrors.IsAlreadyExists(err) && reconcile.ClassifyAPIError(err, "").Class == failure.Refused
}

// labelsFor returns the labels of the session of a pod: those by which this operator selects the sessions
// that it looks after, and the name of the parent.
func (r *Reconciler) labelsFor(parent *v1alpha1.CoderSession) map[string]string {
	labels := map[string]string{}
	if r.o.Selector != nil {
		requirements, _ := r.o.Selector.Requirements()
		for _, requirement := range requirements {
			if value, found := parent.Labels[requirement.Key()]; found {
				labels[requirement.Key()] = value
			}
		}
	}
	labels[v1alpha1.LabelParent] = parent.Name
	return labels
}

// updateSession gives the session of a pod the spec and the renewal request of its parent.
func (r *Reconciler) updateSession(ctx context.Context, o podsession.Observation, plan podsession.Plan) error {
	changed := o.Session.DeepCopy()
	changed.Spec = plan.Spec
	setRenewalRequest(changed, plan.RenewalRequest)
	return r.o.Client.Patch(ctx, changed,
		client.MergeFromWithOptions(o.Session, client.MergeFromWithOptimisticLock{}))
}

// setRenewalRequest passes a renewal request on; an empty one leaves the session's own.
func setRenewalRequest(s *v1alpha1.CoderSession, request string) {
	if request != "" {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, request)
	}
}

// recordRefusals records an event about each pod that is refused, once for each reason.
func (r *Reconciler) recordRefusals(key types.NamespacedName, plan podsession.Plan) {
	r.mu.Lock()
	known := r.memory[key]
	told := plan.Refusal == "" && known == nil || known != nil && known.refusal == plan.Refusal
	if !told {
		r.memoryOf(key).refusal = plan.Refusal
	}
	r.mu.Unlock()
	if !told && plan.Refusal != "" {
		r.warn(key.Namespace, plan.Refused, plan.Refusal)
	}
}

// warn records an event about pods that get no session of their own.
func (r *Reconciler) warn(namespace string, pods []podsession.Pod, why string) {
	for _, pod := range pods {
		about := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod.Name, UID: pod.UID}}
		r.o.Status.Event(about, corev1.EventTypeWarning, v1alpha1.EventPodNotServed, "ServePod",
			fmt.Sprintf("the pod gets no token of its own: %s", why))
	}
}

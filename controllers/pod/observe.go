// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// observe reads what the decision about one name is based on, from caches. The only exception is a
// parent that is not in the cache of an operator that looks after a part of all sessions.
func (r *Reconciler) observe(ctx context.Context, key types.NamespacedName) (podsession.Observation, error) {
	o := podsession.Observation{Now: r.o.Clock.Now()}
	s := &v1alpha1.CoderSession{}
	err := r.o.Client.Get(ctx, key, s)
	if client.IgnoreNotFound(err) != nil {
		return o, err
	}
	parent := ""
	if err == nil {
		o.Session, parent = s, s.Labels[v1alpha1.LabelParent]
		if o.OwnerLives, err = r.ownerLives(ctx, s); err != nil {
			return o, err
		}
	}
	pods, err := lookup.PodsBy(ctx, r.o.Client, key.Namespace, lookup.ByPodSession, key.Name)
	if err != nil {
		return o, err
	}
	parents := map[types.UID]string{}
	for i := range pods {
		if podsession.Waits(&pods[i]) {
			o.Pods = append(o.Pods, podsession.PodOf(&pods[i]))
			parents[pods[i].UID] = pods[i].Labels[v1alpha1.LabelParent]
		}
	}
	podsession.SortOldest(o.Pods, func(p podsession.Pod) podsession.Pod { return p })
	if o.Session == nil && len(o.Pods) > 0 {
		parent = parents[o.Pods[0].UID] // not that of another pod which has copied the name
	}
	if parent != "" {
		err = r.observeParent(ctx, types.NamespacedName{Namespace: key.Namespace, Name: parent}, &o)
		if err != nil {
			return o, err
		}
	}
	return o, r.recordPlace(ctx, key, parent, o)
}

// ownerLives reports whether the pod that a session belongs to asks for it and has not ended. A session that
// was made to look like that of a pod, or that was given another owner or another parent, ends at once.
func (r *Reconciler) ownerLives(ctx context.Context, s *v1alpha1.CoderSession) (bool, error) {
	owner := podsession.Owner(s)
	if owner == nil {
		return false, nil
	}
	pod := &corev1.Pod{}
	err := r.o.Client.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: owner.Name}, pod)
	if err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return podsession.OwnedBy(s, pod) && !podsession.HasEnded(pod), nil
}

// observeParent adds the session with perPod. An operator that looks after a part of all sessions cannot
// tell whether one that is not in the cache exists. It leaves the pods of such a one to others; about the
// session of a pod it asks the API server: if the labels of the parent have changed, the pods that it has
// served stay with it.
func (r *Reconciler) observeParent(ctx context.Context, key types.NamespacedName, o *podsession.Observation) error {
	parent := &v1alpha1.CoderSession{}
	err := r.o.Client.Get(ctx, key, parent)
	if apierrors.IsNotFound(err) && r.o.Selector != nil && !r.o.Selector.Empty() {
		if o.OtherOperator = o.Session == nil; o.OtherOperator {
			return nil
		}
		err = r.o.APIReader.Get(ctx, key, parent)
	}
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	o.Parent = parent
	if o.Session != nil && o.Session.Status.NextRefreshTime != nil {
		o.Skew = r.o.Skew(o.Session.DeploymentKey())
	}
	return nil
}

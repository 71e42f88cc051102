// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"slices"

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
	if freed := r.forgetCreated(key, o); freed != "" {
		r.wakeWaiting(ctx, types.NamespacedName{Namespace: key.Namespace, Name: freed})
	}
	if parent == "" {
		return o, nil
	}
	err = r.observeParent(ctx, types.NamespacedName{Namespace: key.Namespace, Name: parent}, &o)
	return o, err
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

// countPods adds how many pods the parent has, and where the name is among those that wait.
func (r *Reconciler) countPods(ctx context.Context, key types.NamespacedName, o *podsession.Observation) error {
	found, err := lookup.PodsOfSession(ctx, r.o.Client, client.ObjectKeyFromObject(o.Parent))
	if err != nil {
		return err
	}
	created := r.createdFor(o.Parent.Name, key)
	for i := range found.Sessions {
		delete(created, found.Sessions[i].Name)
	}
	o.Live = podsession.CountLive(found.Sessions) + len(created)
	o.Ahead = slices.IndexFunc(found.Waiting, func(w lookup.WaitingPod) bool { return w.SessionName == key.Name })
	for _, w := range found.Waiting[:max(o.Ahead, 0)] {
		if created[w.SessionName] {
			o.Ahead-- // it is counted already
		}
	}
	o.Ahead = max(o.Ahead, 0)
	return nil
}

// forgetCreated drops what is remembered about the creation of a session that the cache shows, or for
// which no pod is left. Then it returns the parent whose place is free, if one was taken.
func (r *Reconciler) forgetCreated(key types.NamespacedName, o podsession.Observation) (freed string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.memory[key]
	switch {
	case m == nil:
	case o.Session == nil && len(o.Pods) == 0:
		freed = m.created
		delete(r.memory, key)
	case o.Session != nil:
		m.created = ""
	}
	return freed
}

// createdFor returns the names of the sessions of other pods of a parent that were created and that the
// cache may not show yet.
func (r *Reconciler) createdFor(parent string, but types.NamespacedName) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]bool{}
	for key, m := range r.memory {
		if m.created == parent && key.Namespace == but.Namespace && key != but {
			names[key.Name] = true
		}
	}
	return names
}

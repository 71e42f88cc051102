// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// mostWoken is how many pods of a parent one pass enqueues. It is followed by another one if there are more,
// so that pods of others have their turn in between.
const mostWoken = 100

// wakePods is the pass over a session with perPod: it enqueues the pods that it can serve now, the oldest
// first, and those whose sessions are those of an earlier version of it. If it serves none, those that wait
// are enqueued: they learn why.
func (r *Reconciler) wakePods(ctx context.Context, key types.NamespacedName) error {
	if !r.places.has(key) {
		return nil // it has no pods
	}
	parent := &v1alpha1.CoderSession{}
	err := r.o.Client.Get(ctx, key, parent)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err != nil {
		parent = nil
	}
	names, more := r.places.next(key, versionOf(parent), limitOf(parent), mostWoken)
	for _, name := range names {
		r.o.Queue.Add(types.NamespacedName{Namespace: key.Namespace, Name: name}, 0)
	}
	if more {
		r.o.Queue.Add(key, 0)
	}
	return nil
}

// limitOf is how many pods a parent serves; negative: none, whatever there is room for.
func limitOf(parent *v1alpha1.CoderSession) int {
	if podsession.IsGone(parent) || parent.Spec.PerPod == nil || parent.Spec.Paused {
		return -1
	}
	return parent.Spec.PerPod.Limit()
}

// versionOf identifies all of a parent that decisions about its pods depend on.
func versionOf(parent *v1alpha1.CoderSession) string {
	if parent == nil {
		return "none"
	}
	return fmt.Sprint(parent.UID, " ", parent.Generation, " ", podsession.IsGone(parent), " ", parent.RenewalRequest())
}

// recordPlace records what a pass has observed about its name, and enqueues the parents that this concerns.
func (r *Reconciler) recordPlace(
	ctx context.Context, key types.NamespacedName, parent string, o podsession.Observation,
) error {
	seen := place{version: versionOf(o.Parent)}
	seen.standing, seen.pod = standingOf(parent, o)
	if seen.standing != unused {
		of := types.NamespacedName{Namespace: key.Namespace, Name: parent}
		if err := r.places.load(of, func() ([]place, error) { return r.readPlaces(ctx, of) }); err != nil {
			return err
		}
	} else if o.Session == nil && r.places.isCreated(key) && r.mayLiveUnseen(ctx, key) {
		return nil
	}
	for _, due := range r.places.record(key, parent, seen) {
		r.o.Queue.Add(due, 0)
	}
	return nil
}

// standingOf returns what a name is for the limit of its parent, and the pod that waits.
func standingOf(parent string, o podsession.Observation) (standing, podsession.Pod) {
	switch s := o.Session; {
	case parent == "" || o.OtherOperator:
	case s == nil && len(o.Pods) > 0:
		return waiting, o.Pods[0]
	case s != nil && podsession.IsOfPod(s) && s.DeletionTimestamp == nil:
		return taken, podsession.Pod{}
	}
	return unused, podsession.Pod{}
}

// unseenDelay is when a session that may live unseen is looked for again, if the API server did not say.
const unseenDelay = 5 * time.Second

// mayLiveUnseen reports whether a session that was created, and that the cache does not show, lives: the cache may
// lag, although its pod is being deleted already. One that another writer has created does not count. If the API
// server does not say, there is another pass.
func (r *Reconciler) mayLiveUnseen(ctx context.Context, key types.NamespacedName) bool {
	s := &v1alpha1.CoderSession{}
	switch err := r.o.APIReader.Get(ctx, key, s); {
	case err == nil:
		mine := r.o.Selector == nil || r.o.Selector.Matches(labels.Set(s.Labels))
		return mine && podsession.IsOfPod(s) && s.DeletionTimestamp == nil
	case apierrors.IsNotFound(err):
		return false
	default:
		ctrl.LoggerFrom(ctx).V(1).Info("a session could not be looked for", "problem", err.Error())
		r.o.Queue.Add(key, unseenDelay)
		return true
	}
}

// readPlaces reads the places of a parent from the cache.
func (r *Reconciler) readPlaces(ctx context.Context, parent types.NamespacedName) ([]place, error) {
	found, err := lookup.PodsOfSession(ctx, r.o.Client, parent)
	if err != nil {
		return nil, err
	}
	all := make([]place, 0, len(found.Sessions)+len(found.Waiting))
	for i := range found.Sessions {
		if found.Sessions[i].DeletionTimestamp == nil {
			all = append(all, place{name: found.Sessions[i].Name, standing: taken})
		}
	}
	for _, w := range found.Waiting {
		all = append(all, place{name: w.SessionName, standing: waiting, pod: w.Pod})
	}
	return all, nil
}

// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/fairqueue"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

// longestBackoff is the longest delay after a request that the API server refused.
const longestBackoff = 5 * time.Minute

// Reconciler keeps the sessions of pods. Create it with [New]. It is safe for concurrent use, as long as
// no two passes over one name run at the same time.
type Reconciler struct {
	o Options

	places *places

	mu sync.Mutex
	// memory of names that something is wrong with.
	memory map[types.NamespacedName]*memory
	// nextRenewals are when a renewal request may be passed on to the next session of a parent, as long as
	// that is in the future.
	nextRenewals map[types.NamespacedName]time.Time
}

// Options are the parts of a Reconciler. All but Selector are required.
type Options struct {
	// Client reads from caches, APIReader from the API server.
	Client    client.Client
	APIReader client.Reader
	Status    *status.Writer
	Clock     clock.PassiveClock
	// Queue is that of this reconciler.
	Queue *reconcile.Queue
	// FairQueue shares the workers.
	FairQueue *fairqueue.Queue
	// Progress is told of passes that end.
	Progress *reconcile.Progress
	// Created is called with each session that was created.
	Created func(*v1alpha1.CoderSession)
	// Refused is called with the parent and the reason when the API server refuses the session of a pod, and
	// with an empty reason when it takes one.
	Refused func(parent types.NamespacedName, why string)
	// Skew returns how far the clock of a CoderDeployment's server is ahead.
	Skew func(types.NamespacedName) time.Duration
	// Selector limits the sessions that this operator looks after; nil or empty: it looks after all.
	Selector labels.Selector
}

// memory is what is remembered about one name between passes. It may be lost at any time: an event is
// recorded again then.
type memory struct {
	// refusal is the last one that an event was recorded about.
	refusal string
	// failures in a row.
	failures int
	// renewalTime is when the renewal request of the parent is passed on; zero: there is none.
	renewalTime time.Time
}

// New returns a Reconciler.
func New(o Options) *Reconciler {
	return &Reconciler{
		o: o, places: newPlaces(), memory: map[types.NamespacedName]*memory{},
		nextRenewals: map[types.NamespacedName]time.Time{},
	}
}

// Reconcile makes one pass over a name, as that of the session of a pod, and as that of a session with
// perPod. Namespaces share the workers; a pass calls no Coder server, so that none is cut off.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	key := req.NamespacedName
	defer r.o.FairQueue.Cancel(key)
	lease := r.o.FairQueue.TryAcquire(fairqueue.Object{
		Key: key, Deployment: types.NamespacedName{Namespace: key.Namespace},
	}, func(error) {})
	if lease == nil {
		return ctrl.Result{}, nil
	}
	defer lease.Release()
	defer r.o.Progress.Record()
	result, err := r.reconcileSession(ctx, key)
	if err != nil {
		return ctrl.Result{}, err // of the cache
	}
	return result, r.wakePods(ctx, key)
}

// reconcileSession creates, updates or deletes the session of one pod.
func (r *Reconciler) reconcileSession(ctx context.Context, key types.NamespacedName) (ctrl.Result, error) {
	o, err := r.observe(ctx, key)
	if err != nil {
		return ctrl.Result{}, err
	}
	plan := r.decide(key, &o)
	err = r.act(ctx, key, o, plan)
	if err != nil {
		r.places.markEnqueued(key)
	}
	switch {
	case reconcile.IsOutdated(err):
		return ctrl.Result{RequeueAfter: time.Second}, nil
	case err != nil:
		return ctrl.Result{RequeueAfter: r.recordFailure(ctx, key, o, plan, err)}, nil
	}
	r.recordSuccess(key, o)
	r.recordRefusals(key, plan)
	if plan.RequeueAt.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(plan.RequeueAt.Sub(r.o.Clock.Now()), time.Millisecond)}, nil
}

// decide adds to an observation how many pods the parent has, if that matters, and decides. A session that
// is to be created is counted from then on.
func (r *Reconciler) decide(key types.NamespacedName, o *podsession.Observation) (plan podsession.Plan) {
	if o.Session != nil || o.Parent == nil || len(o.Pods) == 0 {
		o.RenewalTime = r.renewalTime(key, *o)
		return podsession.Decide(*o)
	}
	r.places.tryTake(key, func(live, ahead int) bool {
		o.Live, o.Ahead = live, ahead
		plan = podsession.Decide(*o)
		return plan.Action == podsession.Create
	})
	return plan
}

// recordSuccess ends a row of failures. A name without a session and pods is forgotten.
func (r *Reconciler) recordSuccess(key types.NamespacedName, o podsession.Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.memory[key]
	switch {
	case o.Session == nil && len(o.Pods) == 0:
		delete(r.memory, key)
	case m != nil:
		m.failures = 0
	}
}

// recordFailure records an event on the first of several failures in a row, and returns when to try
// again.
func (r *Reconciler) recordFailure(
	ctx context.Context, key types.NamespacedName, o podsession.Observation, plan podsession.Plan, err error,
) time.Duration {
	f := reconcile.ClassifyAPIError(err, string(plan.Action))
	ctrl.LoggerFrom(ctx).Info("the session of a pod could not be written", "problem", f.Message)
	r.mu.Lock()
	m := r.memoryOf(key)
	m.failures++
	failures := m.failures
	r.mu.Unlock()
	if plan.Action == podsession.Create && f.Class == failure.Refused {
		// The name is that of one pod, the reason that of all.
		why := strings.ReplaceAll(f.Message, key.Name, o.Parent.Name+"-...")
		r.o.Refused(client.ObjectKeyFromObject(o.Parent), why)
	}
	if failures == 1 {
		r.warn(key.Namespace, o.Pods, "its CoderSession could not be written: "+f.Message)
	}
	return failure.Backoff(failures, longestBackoff)
}

// memoryOf returns the memory of a name. mu must be held.
func (r *Reconciler) memoryOf(key types.NamespacedName) *memory {
	m := r.memory[key]
	if m == nil {
		m = &memory{}
		r.memory[key] = m
	}
	return m
}

// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/fairqueue"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/controllers/retention"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/internal/workload"
)

// Reconciler keeps the generated Secrets of CoderSessions up to date. Create it with [New].
type Reconciler struct {
	*reconcile.Loop[*v1alpha1.CoderSession, *Memory, *Scope, session.Observation, session.Plan]

	o        Options
	tools    *Tools
	methods  Methods
	actions  map[session.Action]Action
	rollouts *rollouts
}

// Options are the parts of a Reconciler. All fields are required.
type Options struct {
	Pool *connection.Pool
	// Debouncer is that of supplied tokens.
	Debouncer *debounce.Debouncer[types.NamespacedName]
	Workloads *workload.Store
	Streams   Streams
	Retention *retention.Decisions
	// Queue and Deployments add to the work queues of both controllers.
	Queue, Deployments *reconcile.Queue
	Jitter             reconcile.Jitter
	// RevocationTimeout is how long a deleted session waits until its tokens are revoked.
	RevocationTimeout time.Duration
	// FairQueue shares the workers.
	FairQueue *fairqueue.Queue
	// Progress is told of passes that end.
	Progress *reconcile.Progress
}

// Streams are the streams of workspaces that sessions hold, see [stream.Set].
type Streams interface {
	// Look returns the view of the stream that a session holds, and false if it holds none.
	Look(holder types.NamespacedName) (stream.View, bool)
	// Ensure makes a session hold the stream of a workspace, and no other.
	Ensure(holder types.NamespacedName, target stream.Target)
	// Release ends that.
	Release(holder types.NamespacedName)
	// Revive opens a session's stream that is stopped, because its settings work again.
	Revive(holder types.NamespacedName)
}

// New returns a Reconciler with the given auth methods.
func New(tools *Tools, methods Methods, o Options) *Reconciler {
	r := &Reconciler{
		o: o, tools: tools, methods: methods, rollouts: newRollouts(),
	}
	r.actions = r.sharedActions()
	for _, method := range methods {
		maps.Copy(r.actions, method.Actions())
	}
	r.Loop = reconcile.New[*v1alpha1.CoderSession, *Memory, *Scope, session.Observation, session.Plan](
		kind{r}, reconcile.Options[*v1alpha1.CoderSession]{
			Reader: tools.Client, Status: tools.Status, Gate: gate{o.FairQueue}, Clock: tools.Clock, Jitter: o.Jitter,
			Progress: o.Progress, Refused: tools.Metrics.APIRequestRefused,
		})
	return r
}

// gate shares the workers among namespaces and deployments.
type gate struct{ *fairqueue.Queue }

// TryAcquire implements reconcile.Gate.
func (g gate) TryAcquire(s *v1alpha1.CoderSession, priority int, cut context.CancelCauseFunc) (reconcile.Lease, bool) {
	lease := g.Queue.TryAcquire(fairqueue.Object{
		Key: client.ObjectKeyFromObject(s), Deployment: s.DeploymentKey(),
		Deleted: !s.DeletionTimestamp.IsZero(), Priority: priority,
	}, cut)
	return lease, lease != nil
}

// AwaitsWorker reports whether a session waits for a worker after sessions that were enqueued
// before it; enqueued reports whether a session is in the work queue. It is for tests.
func (r *Reconciler) AwaitsWorker(key types.NamespacedName, enqueued func(types.NamespacedName) bool) bool {
	return r.o.FairQueue.Waiting(key, enqueued)
}

// Settling reports whether the supplied token of a session is changing.
func (r *Reconciler) Settling(key types.NamespacedName) bool { return r.o.Debouncer.Settling(key) }

// Stop stops the timers of the reconciler.
func (r *Reconciler) Stop() { r.o.Debouncer.Stop() }

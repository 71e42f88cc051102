// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/fairqueue"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/controllers/retention"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

// Reconciler verifies CoderDeployments and enqueues their sessions when something has changed.
// Create it with [New].
type Reconciler struct {
	*reconcile.Loop[*v1alpha1.CoderDeployment, *memory, *scope, deployment.Observation, deployment.Plan]

	o         Options
	shards    *otherShards
	startedAt time.Time // of the process
}

// Options are the parts of a Reconciler. All fields are required.
type Options struct {
	// Client reads from caches, APIReader from the API server.
	Client    client.Client
	APIReader client.Reader
	Pool      *connection.Pool
	// Debouncer is that of settings.
	Debouncer *debounce.Debouncer[types.NamespacedName]
	Status    *status.Writer
	Metrics   *metrics.Metrics
	Names     inventory.Names
	// Namespaces are those that are watched; none: all. Selector limits what is watched there; nil or empty:
	// all.
	Namespaces []string
	Selector   labels.Selector
	Clock      clock.PassiveClock
	Jitter     reconcile.Jitter
	// Sessions adds to the work queue of the session controller.
	Sessions  *reconcile.Queue
	Streams   Streams
	Retention *retention.Decisions
	// FairQueue shares the workers.
	FairQueue *fairqueue.Queue
	// Progress is told of passes that end.
	Progress *reconcile.Progress
	// FieldOwner is the field manager of the operator's own writes.
	FieldOwner string
	// OrphanGrace is the minimum age at which a token that belongs to no session is revoked. Zero
	// revokes it as soon as it is found.
	OrphanGrace time.Duration
	// RevocationTimeout is how long a deleted deployment waits for sessions that it does not allow and
	// that still have something to be revoked.
	RevocationTimeout time.Duration
	// NamespaceLabels reports whether the operator may read labels of namespaces.
	NamespaceLabels bool
}

// Streams are the streams of workspaces of all deployments, see package stream.
type Streams interface {
	// Settled opens the streams of a deployment with verified settings.
	Settled(key types.NamespacedName, fingerprint string, client *coder.Client)
	// Suspend closes the streams of a deployment until its settings are verified.
	Suspend(key types.NamespacedName)
	// Forget drops what is kept about a deleted deployment.
	Forget(key types.NamespacedName)
}

// New returns a Reconciler.
func New(o Options) *Reconciler {
	r := &Reconciler{o: o, startedAt: o.Clock.Now()}
	r.shards = &otherShards{o: o, addNeed: r.addNeed}
	r.Loop = reconcile.New[*v1alpha1.CoderDeployment, *memory, *scope, deployment.Observation, deployment.Plan](
		kind{r}, reconcile.Options[*v1alpha1.CoderDeployment]{
			Reader: o.Client, Status: o.Status, Gate: gate{o.FairQueue}, Clock: o.Clock, Jitter: o.Jitter,
			Progress: o.Progress, Refused: o.Metrics.APIRequestRefused,
		})
	return r
}

// gate shares the workers among namespaces.
type gate struct{ *fairqueue.Queue }

// TryAcquire implements reconcile.Gate.
func (g gate) TryAcquire(
	d *v1alpha1.CoderDeployment, priority int, cut context.CancelCauseFunc,
) (reconcile.Lease, bool) {
	key := client.ObjectKeyFromObject(d)
	lease := g.Queue.TryAcquire(fairqueue.Object{
		Key: key, Deployment: key, Deleted: !d.DeletionTimestamp.IsZero(), Priority: priority,
	}, cut)
	return lease, lease != nil
}

// Settling reports whether the settings of a deployment are changing.
func (r *Reconciler) Settling(key types.NamespacedName) bool { return r.o.Debouncer.Settling(key) }

// Stop stops the timers of the reconciler.
func (r *Reconciler) Stop() { r.o.Debouncer.Stop() }

// memory is what is remembered of a deployment between passes. It may be lost at any time: the cost
// is one more verification and list.
type memory struct {
	verified       deployment.Verification
	listed         deployment.TokenListing
	renewal        deployment.Renewal
	renewalTokenID string // id of the token that renewal is about
	// formerToken is the id of the token that was last replaced or revoked. If it is revoked, the cache
	// may still show it as the predecessor.
	formerToken   string
	revokedFormer bool
	// storedIn is the Secret that a renewed token was last stored in, and storedVersion its version.
	storedIn, storedVersion string
	// foreignTokens are the names of tokens that no session claims and that another operator with the
	// same cluster id has minted, as last listed.
	foreignTokens []string
	// leftBehind is since when tokens were seen whose sessions no longer match the selector, although their
	// deployment does, by id.
	leftBehind map[string]time.Time
	// takenSerial is the highest serial of an own token whose name another operator has taken; 0: none.
	takenSerial int64
	// tokenSecret is what was last read of the Secret of the operator's own token.
	tokenSecret tokenSecretRead
	// generation and caBundle are those that the sessions were last enqueued for.
	generation int64
	caBundle   []byte
	// countsTime is when the counters of sessions were last changed in status.
	countsTime time.Time
}

// scope is the state of one pass over one deployment.
type scope struct {
	object *v1alpha1.CoderDeployment // updated by writes
	key    types.NamespacedName
	conn   *connection.Connection
	memory *memory
	// reasons counts the sessions by the reason of their Ready condition.
	reasons map[string]int
	// livePods have a session of their own, refusedPods wait for one.
	livePods, refusedPods int
	// mintedUsers are the ids of the users that sessions mint tokens for: those of the deployment, and, once the
	// list was searched for orphans, those of other deployments on its server.
	mintedUsers map[string]bool
}

// enqueueSessions enqueues all sessions of a deployment.
func (r *Reconciler) enqueueSessions(ctx context.Context, key types.NamespacedName) {
	sessions, err := lookup.SessionsOf(ctx, r.o.Client, key)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "the sessions of a deployment could not be found")
		return
	}
	r.o.Sessions.EnqueueSpread(lookup.Keys(sessions), r.o.Jitter)
}

// LastVerification is when the settings of a deployment were last verified by this process; zero:
// not yet. It is for tests, between two passes.
func (r *Reconciler) LastVerification(key types.NamespacedName) time.Time {
	if known, ok := r.Remembered(key); ok {
		return known.verified.Time
	}
	return time.Time{}
}

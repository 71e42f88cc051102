// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"io"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/internal/workload"
)

// SessionReconciler keeps the generated Secrets of CoderSessions up to date. All fields are
// set by Setup.
type SessionReconciler struct {
	client               client.Client
	apiReader            client.Reader // reads from the API server, not from the cache
	readsNamespaceLabels bool          // the operator is allowed to read labels of namespaces
	pool                 *connection.Pool
	debouncer            *debounce.Debouncer[types.NamespacedName] // of supplied tokens
	secrets              *secret.Store
	grants               *grant.Store
	redirectURIs         []string  // of the OAuth callback; empty: no callback is served
	random               io.Reader // source of OAuth states and PKCE verifiers
	instance             string    // identifies this process in a recorded intent
	workloads            *workload.Store
	streams              *stream.Set
	rollouts             *rollouts
	retention            *retentionDecisions
	fairQueue            *fairQueue
	key                  fingerprint.Key
	names                inventory.Names
	status               *status.Writer
	metrics              *metrics.Metrics
	clock                clock.PassiveClock
	jitter               Jitter
	deployments          *queue
	revocationTimeout    time.Duration

	mu     sync.Mutex
	memory map[types.NamespacedName]*sessionMemory
}

// sessionMemory is what is remembered of a session between passes. It needs no lock,
// because only one pass per session runs at a time.
type sessionMemory struct {
	uid       types.UID
	check     session.CredentialCheck
	source    sourceMemory
	grant     grantMemory
	workspace workspaceMemory
	// refreshedForRequest is the renewal request for which the grant was last refreshed.
	refreshedForRequest string
	failures            int // consecutive, for the backoff
	// reportedVersion is the resource version of the last status update. A pass over an older
	// version could wrongly find the status up to date.
	reportedVersion string
	// priority is the one that the last pass returned.
	priority session.Priority
}

// isNewerThan reports whether the cached object is older than the last status update. It
// returns false if the versions cannot be compared; a write to an old version then fails
// with a conflict.
func (m *sessionMemory) isNewerThan(cached *v1alpha1.CoderSession) bool {
	order, err := resourceversion.CompareResourceVersion(cached.ResourceVersion, m.reportedVersion)
	return err == nil && order < 0
}

// requeueSoon requeues after 50 to 100 ms, when a cache or another writer may have caught up.
func requeueSoon(jitter Jitter) ctrl.Result {
	return ctrl.Result{RequeueAfter: 50*time.Millisecond + jitter(50*time.Millisecond)}
}

// sessionScope is the state of one pass over one session.
type sessionScope struct {
	object     *v1alpha1.CoderSession // set by Reconcile, updated by writes
	deployment *v1alpha1.CoderDeployment
	conn       *connection.Connection     // nil: the deployment does not exist
	resolved   *connection.ResolvedClient // nil: the settings have not been read yet
	memory     *sessionMemory
	prior      secret.State // set by observe

	// Outcomes of the actions of this pass, set by act and read by observe.
	target            session.TargetUser
	failure           *session.Failure
	revoked           []string
	lostTokenSearched bool
	// grantForgotten is set when the grant was deleted in this pass.
	grantForgotten bool
	// credentialEventSent is set when this pass has recorded an event about a new credential;
	// the transition to Active then needs no event of its own.
	credentialEventSent bool
}

// Reconcile makes one pass: it observes, decides and acts until there is nothing left to
// do, and then reports.
func (r *SessionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	defer r.fairQueue.Cancel(req.NamespacedName)
	object := &v1alpha1.CoderSession{}
	if err := r.client.Get(ctx, req.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	s, err := r.newScope(ctx, object)
	if err != nil {
		return ctrl.Result{}, err
	}
	if s.memory.isNewerThan(object) {
		return requeueSoon(r.jitter), nil
	}
	if !r.fairQueue.TryAcquire(object.DeploymentKey(), req.NamespacedName, s.memory.priority) {
		return ctrl.Result{}, nil
	}
	defer r.fairQueue.Release(object.DeploymentKey())
	for range maxSteps {
		o, err := r.observe(ctx, s)
		if err != nil {
			return requeueOnConflict(err)
		}
		plan := session.Decide(o)
		if plan.Action == session.Nothing {
			return r.report(ctx, s, plan)
		}
		if err := r.act(ctx, s, o, plan); err != nil {
			return requeueOnConflict(err)
		}
		if plan.Action == session.RemoveFinalizer && s.failure == nil {
			return ctrl.Result{}, nil
		}
	}
	return ctrl.Result{RequeueAfter: time.Second}, nil
}

func (r *SessionReconciler) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.memory, key)
	r.debouncer.Forget(key)
	r.streams.Release(key)
}

func (r *SessionReconciler) newScope(ctx context.Context, object *v1alpha1.CoderSession) (*sessionScope, error) {
	s := &sessionScope{object: object, memory: r.memoryFor(object)}
	d := &v1alpha1.CoderDeployment{}
	key := object.DeploymentKey()
	if err := r.client.Get(ctx, key, d); err != nil {
		return s, client.IgnoreNotFound(err)
	}
	s.deployment = d
	s.conn = r.pool.Get(key)
	s.resolved = s.conn.ResolvedClient()
	return s, nil
}

func (r *SessionReconciler) memoryFor(object *v1alpha1.CoderSession) *sessionMemory {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(object)
	memory := r.memory[key]
	if memory == nil || memory.uid != object.UID {
		memory = &sessionMemory{uid: object.UID, priority: session.FirstCredential}
		r.memory[key] = memory
	}
	return memory
}

// report patches the status, records an event if Ready has changed, and returns when to
// requeue.
func (r *SessionReconciler) report(ctx context.Context, s *sessionScope, plan session.Plan) (ctrl.Result, error) {
	now := r.clock.Now()
	if plan.RequeueNow {
		return requeueSoon(r.jitter), nil
	}
	if !plan.SkipStatusUpdate {
		after := s.object.DeepCopy()
		plan.Apply(&after.Status, s.object.Generation, now)
		if _, err := r.status.Patch(ctx, s.object, after); err != nil {
			return requeueOnConflict(err)
		}
		s.memory.reportedVersion, s.memory.priority = after.ResourceVersion, plan.Priority
		if !s.credentialEventSent {
			r.status.Events(after, s.object.Status.Conditions, after.Status.Conditions)
		}
		logReady(ctx, s.object.Status.Conditions, after.Status.Conditions)
	}
	requeueAt := plan.RequeueAt
	if plan.Backoff {
		s.memory.failures++
		if sooner := now.Add(backoff(s.memory.failures)); requeueAt.IsZero() || sooner.Before(requeueAt) {
			requeueAt = sooner
		}
	} else if !plan.SkipStatusUpdate {
		s.memory.failures = 0
	}
	return ctrl.Result{RequeueAfter: r.jitter.requeueDelay(now, requeueAt), Priority: ptr.To(int(plan.Priority))}, nil
}

// backoff doubles from one second up to five minutes.
func backoff(failures int) time.Duration {
	return min(time.Second<<min(failures-1, 9), 5*time.Minute)
}

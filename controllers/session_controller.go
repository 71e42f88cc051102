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

// SessionReconciler keeps the generated Secrets of CoderSessions true. All fields
// are set by Setup.
type SessionReconciler struct {
	client            client.Client
	apiReader         client.Reader // uncached: what it reads is never kept
	namespacesLabels  bool          // labels of namespaces can be read
	pool              *connection.Pool
	debouncer         *debounce.Debouncer[types.NamespacedName] // of supplied tokens
	secrets           *secret.Store
	grants            *grant.Store
	redirectURIs      []string  // of OAuth; none: no callback is served
	random            io.Reader // of states and verifiers
	instance          string    // names this process where it notes an intent
	workloads         *workload.Store
	streams           *stream.Set
	rollouts          *rollouts
	retention         *retentionDecisions
	fairQueue         *fairQueue
	key               fingerprint.Key
	names             inventory.Names
	status            *status.Writer
	metrics           *metrics.Metrics
	clock             clock.PassiveClock
	jitter            Jitter
	deployments       *queue
	revocationTimeout time.Duration

	mu     sync.Mutex
	memory map[types.NamespacedName]*sessionMemory
}

// sessionMemory is what a session's passes leave to the next one. Only one pass
// of a session runs at a time, so it needs no lock of its own.
type sessionMemory struct {
	uid     types.UID
	check   session.CredentialCheck
	source  sourceMemory
	grant   grantMemory
	binding bindingMemory
	// refreshed is the request for renewal that the grant was last refreshed for.
	refreshed string
	failures  int // in a row, for backoff
	// reported is the version that the last status was written as. A pass over an older
	// one would find its status as it should be, write nothing, and wait for nothing.
	reported string
	// urgency of what the last pass left to do.
	urgency session.Priority
}

// behind reports whether the cache does not show the last status yet. Versions that
// cannot be compared say no: a write to an old one fails by its precondition.
func (m *sessionMemory) behind(cached *v1alpha1.CoderSession) bool {
	order, err := resourceversion.CompareResourceVersion(cached.ResourceVersion, m.reported)
	return err == nil && order < 0
}

// again is a pass as soon as what is missing may have come.
func again(jitter Jitter) ctrl.Result {
	return ctrl.Result{RequeueAfter: 50*time.Millisecond + jitter(50*time.Millisecond)}
}

// sessionScope is one pass over one session.
type sessionScope struct {
	object     *v1alpha1.CoderSession // set by Reconcile, renewed by writes
	deployment *v1alpha1.CoderDeployment
	conn       *connection.Connection     // nil: the deployment does not exist
	line       *connection.ResolvedClient // nil: its settings were never read
	memory     *sessionMemory
	prior      secret.State // set by observe

	// What the pass has found out, set by act and read by observe.
	target  session.TargetUser
	failure *session.Failure
	revoked []string
	swept   bool
	// forgotten says that the grant was given up in this pass.
	forgotten bool
	// announced says that an event of this pass tells already of a new credential,
	// so that its first Active need not.
	announced bool
}

// Reconcile makes one pass: observe, decide, act until nothing is left to do,
// report.
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
	s, err := r.scope(ctx, object)
	if err != nil {
		return ctrl.Result{}, err
	}
	if s.memory.behind(object) {
		return again(r.jitter), nil
	}
	if !r.fairQueue.TryAcquire(object.DeploymentKey(), req.NamespacedName, s.memory.urgency) {
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

func (r *SessionReconciler) scope(ctx context.Context, object *v1alpha1.CoderSession) (*sessionScope, error) {
	s := &sessionScope{object: object, memory: r.remember(object)}
	d := &v1alpha1.CoderDeployment{}
	key := object.DeploymentKey()
	if err := r.client.Get(ctx, key, d); err != nil {
		return s, client.IgnoreNotFound(err)
	}
	s.deployment = d
	s.conn = r.pool.Get(key)
	s.line = s.conn.ResolvedClient()
	return s, nil
}

func (r *SessionReconciler) remember(object *v1alpha1.CoderSession) *sessionMemory {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(object)
	memory := r.memory[key]
	if memory == nil || memory.uid != object.UID {
		memory = &sessionMemory{uid: object.UID, urgency: session.FirstCredential}
		r.memory[key] = memory
	}
	return memory
}

// report writes status once, records an event if Ready changed, and says when to
// come back.
func (r *SessionReconciler) report(ctx context.Context, s *sessionScope, plan session.Plan) (ctrl.Result, error) {
	now := r.clock.Now()
	if plan.RequeueNow {
		return again(r.jitter), nil
	}
	if !plan.SkipStatusUpdate {
		after := s.object.DeepCopy()
		plan.Apply(&after.Status, s.object.Generation, now)
		if _, err := r.status.Patch(ctx, s.object, after); err != nil {
			return requeueOnConflict(err)
		}
		s.memory.reported, s.memory.urgency = after.ResourceVersion, plan.Priority
		if !s.announced {
			r.status.Events(after, s.object.Status.Conditions, after.Status.Conditions)
		}
		logReady(ctx, s.object.Status.Conditions, after.Status.Conditions)
	}
	wake := plan.RequeueAt
	if plan.Backoff {
		s.memory.failures++
		if sooner := now.Add(backoff(s.memory.failures)); wake.IsZero() || sooner.Before(wake) {
			wake = sooner
		}
	} else if !plan.SkipStatusUpdate {
		s.memory.failures = 0
	}
	return ctrl.Result{RequeueAfter: r.jitter.until(now, wake), Priority: ptr.To(int(plan.Priority))}, nil
}

// backoff doubles from a second to five minutes.
func backoff(failures int) time.Duration {
	return min(time.Second<<min(failures-1, 9), 5*time.Minute)
}

// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/debounce"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
)

// DeploymentReconciler verifies CoderDeployments and enqueues their sessions when
// something has changed. All fields are set by Setup.
type DeploymentReconciler struct {
	client    client.Client
	apiReader client.Reader // reads from the API server, not from the cache
	pool      *connection.Pool
	debouncer *debounce.Debouncer[types.NamespacedName]
	status    *status.Writer
	metrics   *metrics.Metrics
	names     inventory.Names
	clock     clock.PassiveClock
	jitter    Jitter
	sessions  *queue
	streams   *stream.Set
	retention *retentionDecisions
	// orphanGrace is the minimum age at which a token that belongs to no session is revoked.
	orphanGrace time.Duration

	mu     sync.Mutex
	memory map[types.NamespacedName]*deploymentMemory
}

// deploymentMemory is what is remembered of a deployment between passes. It needs no lock,
// because only one pass per deployment runs at a time.
type deploymentMemory struct {
	uid                types.UID
	verified           deployment.Verification
	listed             deployment.TokenListing
	renewal            deployment.Renewal
	renewalTokenID     string // id of the token that renewal is about
	revokedPredecessor string // id of the last revoked predecessor; the cache may still show it
	// generation is the one that the sessions were last enqueued for.
	generation int64
}

// deploymentScope is the state of one pass over one deployment.
type deploymentScope struct {
	object *v1alpha1.CoderDeployment // set by Reconcile, updated by writes
	key    types.NamespacedName
	conn   *connection.Connection
	memory *deploymentMemory
}

// maxSteps is the maximum number of actions in one pass; a pass normally needs far fewer.
const maxSteps = 12

// Reconcile makes one pass: it observes, decides and acts until there is nothing left to
// do, and then reports.
func (r *DeploymentReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	object := &v1alpha1.CoderDeployment{}
	if err := r.client.Get(ctx, req.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, r.forget(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	s := r.newScope(object, req.NamespacedName)
	for range maxSteps {
		o, err := r.observe(ctx, s)
		if err != nil {
			return requeueOnConflict(err)
		}
		plan := deployment.Decide(o)
		if plan.Action == deployment.Nothing {
			return r.report(ctx, s, o, plan)
		}
		if valid, err := r.act(ctx, s, plan); err != nil || !valid {
			return requeueOnConflict(err)
		}
	}
	return ctrl.Result{RequeueAfter: time.Second}, nil
}

// requeueOnConflict requeues after a write conflict, without reporting an error. A nil error
// means that the outcome of the pass was discarded because settings are changing: the end
// of the quiet period enqueues the object again, and this requeue is only a safety net.
func requeueOnConflict(err error) (ctrl.Result, error) {
	if err == nil || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return ctrl.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

func (r *DeploymentReconciler) newScope(object *v1alpha1.CoderDeployment, key types.NamespacedName) *deploymentScope {
	r.mu.Lock()
	defer r.mu.Unlock()
	memory := r.memory[key]
	if memory == nil || memory.uid != object.UID {
		if memory != nil {
			r.pool.Forget(key)
			r.streams.Forget(key)
			r.retention.replaceDecisions(key, nil)
		}
		memory = &deploymentMemory{uid: object.UID}
		r.memory[key] = memory
	}
	return &deploymentScope{object: object, key: key, conn: r.pool.Get(key), memory: memory}
}

// forget drops everything that is kept in memory for a deleted deployment, and enqueues its
// sessions.
func (r *DeploymentReconciler) forget(ctx context.Context, key types.NamespacedName) error {
	r.mu.Lock()
	delete(r.memory, key)
	r.mu.Unlock()
	r.debouncer.Forget(key)
	r.pool.Forget(key)
	r.streams.Forget(key)
	r.retention.replaceDecisions(key, nil)
	r.metrics.Forget(key.Namespace, key.Name)
	return r.enqueueSessions(ctx, key)
}

func (r *DeploymentReconciler) enqueueSessions(ctx context.Context, key types.NamespacedName) error {
	sessions, err := sessionsOf(ctx, r.client, key)
	if err != nil {
		return err
	}
	r.sessions.EnqueueSpread(keysOf(sessions), r.jitter)
	return nil
}

func keysOf(sessions []v1alpha1.CoderSession) []types.NamespacedName {
	keys := make([]types.NamespacedName, len(sessions))
	for i := range sessions {
		keys[i] = client.ObjectKeyFromObject(&sessions[i])
	}
	return keys
}

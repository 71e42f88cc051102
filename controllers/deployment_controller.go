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

// DeploymentReconciler keeps CoderDeployments verified and tells their sessions
// when something changed. All fields are set by Setup.
type DeploymentReconciler struct {
	client    client.Client
	apiReader client.Reader // uncached: what it reads is never kept
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
	// orphanGrace is how old a token that nobody claims must be to be revoked.
	orphanGrace time.Duration

	mu     sync.Mutex
	memory map[types.NamespacedName]*deploymentMemory
}

// deploymentMemory is what a deployment's passes leave to the next one. Only one
// pass of a deployment runs at a time, so it needs no lock of its own.
type deploymentMemory struct {
	uid      types.UID
	verified deployment.Verification
	listed   deployment.TokenListing
	renewal  deployment.Renewal
	renewing string // the token that renewal is about
	dropped  string // the predecessor that was revoked last; a cache may still show it
	// generation that sessions were last woken for
	generation int64
}

// deploymentScope is one pass over one deployment.
type deploymentScope struct {
	object *v1alpha1.CoderDeployment // set by Reconcile, renewed by writes
	key    types.NamespacedName
	conn   *connection.Connection
	memory *deploymentMemory
}

// maxSteps bounds the actions of one pass; more than a plan can ever need.
const maxSteps = 12

// Reconcile makes one pass: observe, decide, act until nothing is left to do,
// report.
func (r *DeploymentReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	object := &v1alpha1.CoderDeployment{}
	if err := r.client.Get(ctx, req.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, r.forget(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	s := r.scope(object, req.NamespacedName)
	for range maxSteps {
		o, err := r.observe(ctx, s)
		if err != nil {
			return requeueOnConflict(err)
		}
		plan := deployment.Decide(o)
		if plan.Action == deployment.Nothing {
			return r.report(ctx, s, o, plan)
		}
		if believed, err := r.act(ctx, s, plan); err != nil || !believed {
			return requeueOnConflict(err)
		}
	}
	return ctrl.Result{RequeueAfter: time.Second}, nil
}

// requeueOnConflict turns a write that met somebody else's into another pass, without the
// noise of an error. A nil error is a pass whose outcome is not believed: what
// settles brings the next one, this is only a safety net.
func requeueOnConflict(err error) (ctrl.Result, error) {
	if err == nil || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return ctrl.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

func (r *DeploymentReconciler) scope(object *v1alpha1.CoderDeployment, key types.NamespacedName) *deploymentScope {
	r.mu.Lock()
	defer r.mu.Unlock()
	memory := r.memory[key]
	if memory == nil || memory.uid != object.UID {
		if memory != nil {
			r.pool.Forget(key)
			r.streams.Forget(key)
			r.retention.replace(key, nil)
		}
		memory = &deploymentMemory{uid: object.UID}
		r.memory[key] = memory
	}
	return &deploymentScope{object: object, key: key, conn: r.pool.Get(key), memory: memory}
}

// forget drops all that was kept for a deployment that is gone, and lets its
// sessions know.
func (r *DeploymentReconciler) forget(ctx context.Context, key types.NamespacedName) error {
	r.mu.Lock()
	delete(r.memory, key)
	r.mu.Unlock()
	r.debouncer.Forget(key)
	r.pool.Forget(key)
	r.streams.Forget(key)
	r.retention.replace(key, nil)
	r.metrics.Forget(key.Namespace, key.Name)
	return r.wakeSessions(ctx, key)
}

func (r *DeploymentReconciler) wakeSessions(ctx context.Context, key types.NamespacedName) error {
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

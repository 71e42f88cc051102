// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// requestPriorities maps the priority of a session to the priority of its requests (B52).
var requestPriorities = map[session.Priority]connection.Priority{
	session.Routine:         connection.Routine,
	session.FirstCredential: connection.First,
	session.NearExpiry:      connection.Urgent,
}

// sharedActions are the actions that do not belong to an auth method.
func (r *Reconciler) sharedActions() map[session.Action]Action {
	return map[session.Action]Action{
		session.AddFinalizer: func(ctx context.Context, s *Scope, _ session.Observation, _ session.Plan) error {
			return reconcile.AddFinalizer(ctx, r.tools.Client, s.Session, v1alpha1.SessionFinalizer)
		},
		session.RemoveFinalizer: r.removeFinalizer,
		session.CheckCredential: r.checkCredential,
		session.TryPublish:      r.tryPublish,
		session.Publish:         r.publishSecret,
		session.DeleteSecret: func(ctx context.Context, s *Scope, _ session.Observation, _ session.Plan) error {
			return r.tools.Secrets.Delete(ctx, s.Session, s.Prior)
		},
		session.RetainSecret: func(ctx context.Context, s *Scope, _ session.Observation, _ session.Plan) error {
			return r.tools.Secrets.Retain(ctx, s.Session, s.Prior)
		},
		session.Restart:       r.restartWorkloads,
		session.FindWorkspace: r.findWorkspace,
	}
}

// Act carries out one action.
func (k kind) Act(ctx context.Context, s *Scope, o session.Observation, plan session.Plan) error {
	action, known := k.actions[plan.Action]
	if !known {
		return fmt.Errorf("unknown action %q", plan.Action)
	}
	// Wait for the rate limit instead of requeueing: an action that consists of several requests
	// would otherwise start over each time and might never finish.
	ctx = connection.WithLongRateLimitWait(connection.WithPriority(ctx, requestPriorities[plan.Priority]))
	err := action(ctx, s, o, plan)
	if f := k.Classify(err, string(plan.Action)); f != nil && f.Class == failure.Denied {
		s.Conn.RequestReverification()
		k.o.Deployments.Add(s.Session.DeploymentKey(), 0)
	}
	return err
}

// removeFinalizer removes the finalizer and reports the tokens that could not be revoked.
func (r *Reconciler) removeFinalizer(ctx context.Context, s *Scope, _ session.Observation, plan session.Plan) error {
	err := reconcile.RemoveFinalizer(ctx, r.tools.Client, s.Session, v1alpha1.SessionFinalizer)
	if err != nil {
		return err
	}
	r.tools.Secrets.Forget(s.Session)
	r.reportAbandoned(s, plan.Abandoned)
	return nil
}

// reportAbandoned reports the tokens that the operator will no longer try to revoke.
func (r *Reconciler) reportAbandoned(s *Scope, ids []string) {
	if len(ids) == 0 {
		return
	}
	key := s.Session.DeploymentKey()
	r.tools.Metrics.RevocationsAbandoned(key.Namespace, key.Name, len(ids))
	r.tools.Status.Event(s.Session, corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, "Revoke",
		fmt.Sprintf("the server could not be asked for %s; these tokens may still be valid, delete them there: %s",
			r.o.RevocationTimeout, strings.Join(ids, ", ")))
}

// recordWrite remembers how a write of the generated Secret ended, and returns its error. After a
// failure, whatever the reason, the API server is asked whether it would take the Secret before
// another token is minted for it.
func (s *Scope) recordWrite(success writeOutcome, err error) error {
	if err == nil {
		s.Memory.lastWrite = success
	} else if !reconcile.IsOutdated(err) {
		s.Memory.lastWrite = refused
	}
	return err
}

// isUnproven reports whether the write of a Secret has to be tried before a token is minted for it.
func (m *Memory) isUnproven(exists bool) bool {
	return m.lastWrite == refused || !exists && m.lastWrite != accepted
}

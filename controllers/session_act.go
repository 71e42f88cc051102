// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// credentialTimeout bounds what changes credentials and the Secret write after
// it, which no shutdown may cut in two.
const credentialTimeout = 30 * time.Second

// withoutCancel returns a context for a step that must not stop half way.
func withoutCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), credentialTimeout)
}

// ranks of what is urgent to different degrees (B52).
var ranks = map[session.Priority]connection.Priority{
	session.Routine: connection.Routine, session.FirstCredential: connection.First, session.NearExpiry: connection.Urgent,
}

// act carries out one action. What the server answers goes into the scope, for
// the next observation; an error is the API server's.
func (r *SessionReconciler) act(ctx context.Context, s *sessionScope, o session.Observation, plan session.Plan) error {
	// An action that has begun is finished before another one begins: one that was sent
	// away in the middle, again and again, would use up all turns and get nowhere.
	err := r.carryOut(connection.WithLongRateLimitWait(connection.WithPriority(ctx, ranks[plan.Priority])), s, o, plan)
	if err == nil {
		return nil
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		s.failure = &session.Failure{Class: session.Conflict, Message: "somebody else wrote meanwhile"}
		return nil
	}
	if status := apierrors.APIStatus(nil); plan.Action == session.Restart && errors.As(err, &status) {
		// What becomes of a workload says nothing about the credential.
		s.failure = &session.Failure{Action: plan.Action, Class: session.Transient, Message: err.Error()}
		return nil
	}
	failure, err := classify(err, plan.Action)
	if err != nil {
		return err
	}
	ctrl.LoggerFrom(ctx).V(1).Info("an action failed", "action", plan.Action, "problem", failure.Message)
	failure.Action = plan.Action
	s.failure = failure
	if failure.Class == session.Denied {
		s.conn.RequestReverification()
		r.deployments.add(s.object.DeploymentKey(), 0)
	}
	return nil
}

func (r *SessionReconciler) carryOut(ctx context.Context, s *sessionScope, o session.Observation, plan session.Plan) error {
	step, known := map[session.Action]func() error{
		session.AddFinalizer: func() error {
			return patchFinalizer(ctx, r.client, s.object, v1alpha1.SessionFinalizer, controllerutil.AddFinalizer)
		},
		session.RemoveFinalizer:           func() error { return r.leave(ctx, s, plan.Abandoned) },
		session.LookUpUser:                func() error { return r.lookUp(ctx, s) },
		session.Mint:                      func() error { return r.mint(ctx, s, plan.Mint) },
		session.CheckCredential:           func() error { return r.check(ctx, s, o) },
		session.Publish:                   func() error { return r.publish(ctx, s, o) },
		session.DeleteSecret:              func() error { return r.secrets.Withdraw(ctx, s.object, s.prior) },
		session.RetainSecret:              func() error { return r.secrets.Retain(ctx, s.object, s.prior) },
		session.FindLostToken:             func() error { return r.sweep(ctx, s, plan.Mint.Serial) },
		session.Revoke:                    func() error { return r.revoke(ctx, s, plan.Revoke) },
		session.Restart:                   func() error { return r.restart(ctx, s, o.Secret.Credential, plan.WorkloadsToRestart) },
		session.FindWorkspace:             func() error { return r.findWorkspace(ctx, s) },
		session.RegisterClient:            func() error { return r.register(ctx, s) },
		session.StartAuthorization:        func() error { return r.authorize(ctx, s) },
		session.RefreshGrant:              func() error { return r.refresh(ctx, s) },
		session.ResolveInterruptedRefresh: func() error { return r.resolve(ctx, s) },
		session.EndGrant:                  func() error { return r.endGrant(ctx, s, plan.GrantEndReason) },
		session.ForgetGrant:               func() error { return r.forgetGrant(ctx, s) },
	}[plan.Action]
	if !known {
		return fmt.Errorf("unknown action %q", plan.Action)
	}
	return step()
}

// lookUp finds the user that is minted for.
func (r *SessionReconciler) lookUp(ctx context.Context, s *sessionScope) error {
	found, err := s.conn.Target(ctx, s.object.Spec.Auth.Mint.User)
	if coder.KindOf(err) == coder.NotFound {
		s.target = session.TargetUser{Known: true, Missing: true}
		return nil
	}
	if err != nil {
		return err
	}
	s.target = session.TargetUser{
		Known:       true,
		User:        v1alpha1.SessionUser{ID: found.User.ID, Username: found.User.Username, DeploymentID: s.conn.VerificationStatus().DeploymentID},
		Suspended:   found.User.Status == coder.UserStatusSuspended,
		MaxLifetime: found.MaxLifetime,
	}
	return r.lookForUnlisted(ctx, s)
}

// lookForUnlisted asks for a published token that the list does not have. A leader
// that is late to notice that it is not one any more may have minted it since: if each
// of the two took the other's token for revoked, they would mint in turn without end.
func (r *SessionReconciler) lookForUnlisted(ctx context.Context, s *sessionScope) error {
	published := s.prior.Token
	if published == nil || published.Request == "" || !s.conn.Inventory.Loaded() {
		return nil
	}
	if _, listed := s.conn.Inventory.Lookup(published.ID); listed {
		return nil
	}
	var token coder.Token
	_, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) (err error) {
		token, err = line.Client.Token(ctx, s.target.User.ID, published.ID)
		return err
	})
	if err == nil {
		s.conn.Inventory.Add(token)
	}
	if coder.KindOf(err) == coder.NotFound {
		return nil
	}
	return err
}

// leave lets the session go, and tells once what is left of it.
func (r *SessionReconciler) leave(ctx context.Context, s *sessionScope, abandoned []string) error {
	if err := patchFinalizer(ctx, r.client, s.object, v1alpha1.SessionFinalizer, controllerutil.RemoveFinalizer); err != nil {
		return err
	}
	r.secrets.Forget(s.object)
	r.abandon(s, abandoned)
	return nil
}

// abandon tells which tokens are left on the server for good.
func (r *SessionReconciler) abandon(s *sessionScope, ids []string) {
	if len(ids) == 0 {
		return
	}
	key := s.object.DeploymentKey()
	r.metrics.RevocationsAbandoned(key.Namespace, key.Name, len(ids))
	r.status.Event(s.object, corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, "Revoke",
		fmt.Sprintf("the server could not be asked for %s; these tokens may still be valid, delete them there: %s", r.revocationTimeout, strings.Join(ids, ", ")))
}

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

// credentialTimeout limits the change of a credential together with the write of the Secret
// that follows it. A shutdown does not interrupt them.
const credentialTimeout = 30 * time.Second

// withoutCancel returns a context for an operation that must not be interrupted by a
// shutdown.
func withoutCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), credentialTimeout)
}

// requestPriorities maps the priority of a session to the priority of its requests (B52).
var requestPriorities = map[session.Priority]connection.Priority{
	session.Routine:         connection.Routine,
	session.FirstCredential: connection.First,
	session.NearExpiry:      connection.Urgent,
}

// act carries out one action. Its outcome is stored in the scope for the next observation.
// Only errors of the API server are returned.
func (r *SessionReconciler) act(ctx context.Context, s *sessionScope, o session.Observation, plan session.Plan) error {
	// Wait for the rate limit instead of requeueing: an action that consists of several
	// requests would otherwise start over each time and might never finish.
	actionCtx := connection.WithLongRateLimitWait(connection.WithPriority(ctx, requestPriorities[plan.Priority]))
	err := r.runAction(actionCtx, s, o, plan)
	if err == nil {
		return nil
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		s.failure = &session.Failure{
			Class: session.Conflict, Message: "an object was modified at the same time; retrying automatically",
		}
		return nil
	}
	if status := apierrors.APIStatus(nil); plan.Action == session.Restart && errors.As(err, &status) {
		// A workload that cannot be restarted does not affect the credential.
		s.failure = &session.Failure{Action: plan.Action, Class: session.Transient, Message: err.Error()}
		return nil
	}
	failure, err := classifyError(err, plan.Action)
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

func (r *SessionReconciler) runAction(
	ctx context.Context, s *sessionScope, o session.Observation, plan session.Plan,
) error {
	step, known := map[session.Action]func() error{
		session.AddFinalizer: func() error {
			return patchFinalizer(ctx, r.client, s.object, v1alpha1.SessionFinalizer, controllerutil.AddFinalizer)
		},
		session.RemoveFinalizer: func() error { return r.removeFinalizer(ctx, s, plan.Abandoned) },
		session.LookUpUser:      func() error { return r.lookUpUser(ctx, s) },
		session.Mint:            func() error { return r.mintToken(ctx, s, plan.Mint) },
		session.CheckCredential: func() error { return r.checkCredential(ctx, s, o) },
		session.Publish:         func() error { return r.publishSecret(ctx, s, o) },
		session.DeleteSecret:    func() error { return r.secrets.Withdraw(ctx, s.object, s.prior) },
		session.RetainSecret:    func() error { return r.secrets.Retain(ctx, s.object, s.prior) },
		session.FindLostToken:   func() error { return r.findLostToken(ctx, s, plan.Mint.Serial) },
		session.Revoke:          func() error { return r.revokeTokens(ctx, s, plan.Revoke) },
		session.Restart: func() error {
			return r.restartWorkloads(ctx, s, o.Secret.Credential, plan.WorkloadsToRestart)
		},
		session.FindWorkspace:             func() error { return r.findWorkspace(ctx, s) },
		session.RegisterClient:            func() error { return r.registerClient(ctx, s) },
		session.StartAuthorization:        func() error { return r.startAuthorization(ctx, s) },
		session.RefreshGrant:              func() error { return r.refreshGrant(ctx, s) },
		session.ResolveInterruptedRefresh: func() error { return r.resolveInterruptedRefresh(ctx, s) },
		session.EndGrant:                  func() error { return r.endGrant(ctx, s, plan.GrantEndReason) },
		session.ForgetGrant:               func() error { return r.forgetGrant(ctx, s) },
	}[plan.Action]
	if !known {
		return fmt.Errorf("unknown action %q", plan.Action)
	}
	return step()
}

// lookUpUser finds the user for whom tokens are minted.
func (r *SessionReconciler) lookUpUser(ctx context.Context, s *sessionScope) error {
	found, err := s.conn.Target(ctx, s.object.Spec.Auth.Mint.User)
	if coder.KindOf(err) == coder.NotFound {
		s.target = session.TargetUser{Known: true, Missing: true}
		return nil
	}
	if err != nil {
		return err
	}
	s.target = session.TargetUser{
		Known: true,
		User: v1alpha1.SessionUser{
			ID: found.User.ID, Username: found.User.Username, DeploymentID: s.conn.VerificationStatus().DeploymentID,
		},
		Suspended:   found.User.Status == coder.UserStatusSuspended,
		MaxLifetime: found.MaxLifetime,
	}
	return r.addUnlistedToken(ctx, s)
}

// addUnlistedToken reads a published token that is missing in the inventory, and adds it if
// it exists. It may have been minted after the last refresh by a former leader that had not
// yet noticed the change of leadership. If both took the token of the other for revoked,
// they would keep minting new ones.
func (r *SessionReconciler) addUnlistedToken(ctx context.Context, s *sessionScope) error {
	published := s.prior.Token
	if published == nil || published.Request == "" || !s.conn.Inventory.Loaded() {
		return nil
	}
	if _, listed := s.conn.Inventory.Lookup(published.ID); listed {
		return nil
	}
	var token coder.Token
	_, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		token, err = resolved.Client.Token(ctx, s.target.User.ID, published.ID)
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

// removeFinalizer removes the finalizer and reports the tokens that could not be revoked.
func (r *SessionReconciler) removeFinalizer(ctx context.Context, s *sessionScope, abandoned []string) error {
	err := patchFinalizer(ctx, r.client, s.object, v1alpha1.SessionFinalizer, controllerutil.RemoveFinalizer)
	if err != nil {
		return err
	}
	r.secrets.Forget(s.object)
	r.reportAbandoned(s, abandoned)
	return nil
}

// reportAbandoned reports the tokens that the operator will no longer try to revoke.
func (r *SessionReconciler) reportAbandoned(s *sessionScope, ids []string) {
	if len(ids) == 0 {
		return
	}
	key := s.object.DeploymentKey()
	r.metrics.RevocationsAbandoned(key.Namespace, key.Name, len(ids))
	r.status.Event(s.object, corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, "Revoke",
		fmt.Sprintf("the server could not be asked for %s; these tokens may still be valid, delete them there: %s",
			r.revocationTimeout, strings.Join(ids, ", ")))
}

// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
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
		session.AddFinalizer:    r.addFinalizer,
		session.RemoveFinalizer: r.removeFinalizer,
		session.CheckCredential: r.checkCredential,
		session.TryPublish:      r.tryPublish,
		session.Publish:         r.publishSecret,
		session.DeleteSecret: func(ctx context.Context, s *Scope, _ session.Observation, _ session.Plan) error {
			return s.recordRemoval(r.tools.Secrets.Delete(ctx, s.Session, s.Prior))
		},
		session.RetainSecret: func(ctx context.Context, s *Scope, _ session.Observation, _ session.Plan) error {
			return s.recordRemoval(r.tools.Secrets.Retain(ctx, s.Session, s.Prior))
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
	ctx = connection.WithNamespace(ctx, s.Session.Namespace)
	ctx = connection.WithLongRateLimitWait(connection.WithPriority(ctx, requestPriorities[plan.Priority]))
	err := action(ctx, s, o, plan)
	if f := k.Classify(err, string(plan.Action)); f != nil && f.Class == failure.Denied {
		s.Conn.RequestReverification()
		k.o.Deployments.Add(s.Session.DeploymentKey(), 0)
	}
	return err
}

// addFinalizer adds the finalizer. Nothing was minted before that, unless another writer has removed it.
func (r *Reconciler) addFinalizer(ctx context.Context, s *Scope, _ session.Observation, _ session.Plan) error {
	hasNone := s.Session.Status.Token == nil && len(s.Session.Status.PendingRevocations) == 0 && s.Prior.Token == nil
	err := reconcile.AddFinalizer(ctx, r.tools.Client, s.Session, v1alpha1.SessionFinalizer)
	s.Memory.NothingMinted = err == nil && hasNone
	return err
}

// removeFinalizer removes the finalizer and reports the tokens that could not be revoked.
func (r *Reconciler) removeFinalizer(ctx context.Context, s *Scope, _ session.Observation, plan session.Plan) error {
	err := reconcile.RemoveFinalizer(ctx, r.tools.Client, s.Session, v1alpha1.SessionFinalizer)
	if err != nil {
		return err
	}
	r.reportAbandoned(ctx, s, plan.Abandoned)
	return nil
}

// reportAbandoned reports the tokens that the operator will no longer try to revoke: in its log, and
// in an event. A namespace that is being deleted takes no events, so that one is about the namespace,
// or about a deployment elsewhere (B117).
func (r *Reconciler) reportAbandoned(ctx context.Context, s *Scope, ids []string) {
	if len(ids) == 0 {
		return
	}
	key, named := s.Session.DeploymentKey(), strings.Join(ids, ", ")
	r.tools.Metrics.RevocationsAbandoned(key.Namespace, key.Name, len(ids))
	ctrl.LoggerFrom(ctx).Info("tokens could not be revoked and may still be valid: delete them on the server",
		"deployment", key.String(), "tokens", named)
	about := []client.Object{s.Session}
	switch {
	case !r.tools.isTerminating(ctx, s.Session.Namespace):
	case key.Namespace != s.Session.Namespace && s.Deployment != nil:
		about = append(about, s.Deployment)
	default:
		about = append(about, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Session.Namespace}})
	}
	for _, object := range about {
		r.tools.Status.Event(object, corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, "Revoke",
			fmt.Sprintf("the server could not be asked to revoke the tokens of session %s/%s; they may still be valid, "+
				"delete them there: %s", s.Session.Namespace, s.Session.Name, named))
	}
}

// isTerminating reports whether a namespace is being deleted. It is not known to an operator that may
// not read namespaces.
func (t *Tools) isTerminating(ctx context.Context, name string) bool {
	if !t.NamespaceLabels {
		return false
	}
	namespace := lookup.Metadata("Namespace")
	err := t.Client.Get(ctx, types.NamespacedName{Name: name}, namespace)
	return apierrors.IsNotFound(err) || err == nil && namespace.DeletionTimestamp != nil
}

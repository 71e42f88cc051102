// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

// report publishes the verification status to the sessions, patches the status, records an
// event if Ready has changed, and returns when to requeue.
func (r *DeploymentReconciler) report(
	ctx context.Context, s *deploymentScope, o deployment.Observation, plan deployment.Plan,
) (ctrl.Result, error) {
	if plan.SkipStatusUpdate {
		return ctrl.Result{}, nil
	}
	changed := s.conn.SetVerificationStatus(verificationStatus(o))
	r.updateStreams(s.key, s.conn)
	// Sessions read the spec themselves. They are enqueued for each new generation, even if
	// the spec was changed back during the quiet period.
	if s.object.Generation != s.memory.generation {
		s.memory.generation = s.object.Generation
		changed = true
	}
	if changed {
		if err := r.enqueueSessions(ctx, s.key); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.updateRetention(ctx, s.key, plan.RetentionDecisions); err != nil {
		return ctrl.Result{}, err
	}
	after := s.object.DeepCopy()
	plan.Apply(&after.Status, o)
	if _, err := r.status.Patch(ctx, s.object, after); err != nil {
		return requeueOnConflict(err)
	}
	r.status.Events(after, s.object.Status.Conditions, after.Status.Conditions)
	logReady(ctx, s.object.Status.Conditions, after.Status.Conditions)
	r.recordMetrics(s, after, o)
	return ctrl.Result{RequeueAfter: r.jitter.requeueDelay(o.Now, plan.RequeueAt)}, nil
}

// verificationStatus summarizes the observation for the sessions.
func verificationStatus(o deployment.Observation) connection.VerificationStatus {
	if len(o.Config.Problems) > 0 {
		messages := make([]string, 0, len(o.Config.Problems))
		for _, problem := range o.Config.Problems {
			messages = append(messages, problem.Message)
		}
		return connection.VerificationStatus{Problem: strings.Join(messages, "; ")}
	}
	next := connection.VerificationStatus{
		Fingerprint:  o.Verification.Fingerprint,
		Result:       o.Verification.Result,
		DeploymentID: o.Verification.DeploymentID,
	}
	if user := o.Verification.User; user != nil {
		next.User = &v1alpha1.SessionUser{ID: user.ID, Username: user.Username}
		next.SeesAllUsers = slices.Contains(user.Roles, deployment.RoleOwner)
	}
	return next
}

func (r *DeploymentReconciler) recordMetrics(
	s *deploymentScope, d *v1alpha1.CoderDeployment, o deployment.Observation,
) {
	ns, name := s.key.Namespace, s.key.Name
	r.metrics.DeploymentReady(ns, name, meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReady))
	r.metrics.CertificateNotAfter(ns, name, o.Config.CertificateNotAfter)
	r.metrics.ClockSkew(ns, name, s.conn.Skew())
	if o.Verification.Result.Outcome == authcheck.Accepted {
		r.metrics.OperatorTokenExpires(ns, name, o.Verification.Token.ExpiresAt)
	}
}

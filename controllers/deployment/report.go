// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
)

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
		LegacyOAuth:  o.Verification.LegacyOAuth,
	}
	if user := o.Verification.User; user != nil {
		next.User = &v1alpha1.SessionUser{ID: user.ID, Username: user.Username}
		next.SeesAllUsers = slices.Contains(user.Roles, deployment.RoleOwner)
	}
	return next
}

func (r *Reconciler) recordMetrics(
	s *scope, d *v1alpha1.CoderDeployment, o deployment.Observation,
) {
	ns, name := s.key.Namespace, s.key.Name
	r.o.Metrics.DeploymentReady(ns, name, meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReady))
	r.o.Metrics.CertificateNotAfter(ns, name, o.Config.CertificateNotAfter)
	r.o.Metrics.ClockSkew(ns, name, s.conn.Skew())
	if o.Verification.Result.Outcome == authcheck.Accepted {
		r.o.Metrics.OperatorTokenExpires(ns, name, o.Verification.Token.ExpiresAt)
		if !s.conn.Settling() && o.Verification.Fingerprint == o.Config.Fingerprint {
			r.o.Metrics.SettingsAccepted(ns, name, r.o.Clock.Now())
		}
	}
}

// updateStreams opens the streams of a deployment with the settings that the server has accepted, and
// suspends them while the settings are invalid or rejected.
func (r *Reconciler) updateStreams(key types.NamespacedName, conn *connection.Connection) {
	verified, resolved := conn.VerificationStatus(), conn.ResolvedClient()
	switch {
	case verified.Result.OK() && resolved != nil && resolved.Snapshot.Fingerprint == verified.Fingerprint:
		r.o.Streams.Settled(key, verified.Fingerprint, resolved.Client)
	case verified.Problem != "" || verified.Result.AboutCaller:
		r.o.Streams.Suspend(key)
	}
}

// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// checkCredential asks the server for the user of the session's credential. The result is stored
// with fingerprints of the credential and of the settings, so that it is not used for others.
func (r *Reconciler) checkCredential(ctx context.Context, s *Scope, o session.Observation, _ session.Plan) error {
	caller, err := r.methods.of(s.Session).Credential(ctx, s, o)
	if err != nil {
		return err
	}
	check := session.CredentialCheck{Time: r.tools.Clock.Now(), RenewalRequest: s.Session.RenewalRequest()}
	resolved, err := s.Conn.DoAs(ctx, caller, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		user, err := resolved.Client.Me(ctx)
		if coder.KindOf(err) == coder.NotFound {
			// The credential is valid, but its scopes do not allow it to read its user
			// (contract A.6).
			return nil
		}
		if err != nil {
			return err
		}
		check.User = &v1alpha1.SessionUser{ID: user.ID, Username: user.Username, ServiceAccount: user.ServiceAccount}
		caller.Describe(ctx, resolved.Client, &check)
		return nil
	})
	check.Result = connection.ResultOf(err)
	if check.Result.Outcome == authcheck.ConfigChanging || isProviderError(err) {
		return err
	}
	if check.Result.Outcome == authcheck.Unreachable {
		check.Failures = s.Memory.Check.Failures + 1
	}
	if resolved != nil {
		check.Settings = resolved.Snapshot.Fingerprint
	}
	check.Credential = caller.Fingerprint()
	s.Memory.Check = check
	return nil
}

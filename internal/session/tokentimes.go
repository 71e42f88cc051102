// SPDX-License-Identifier: Apache-2.0

package session

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// TokenTimes returns when, by the server's clock, the token that a session publishes is replaced and when it
// ends, as its status has it. Renewal is zero for a token that the operator does not replace. Both are zero
// without a token whose end is known, and for a session that is paused or being deleted, whose token is meant
// to end.
//
// The renewal is also known while it cannot be done: status.nextRefreshTime is absent then.
func TokenTimes(s *v1alpha1.CoderSession) (renewal, end time.Time) {
	token := s.Status.Token
	if token == nil || token.ExpirationTime.IsZero() || s.Status.Secret == nil || s.Spec.Paused ||
		s.DeletionTimestamp != nil {
		return time.Time{}, time.Time{}
	}
	end = token.ExpirationTime.Time
	method := s.Spec.Auth.Method()
	switch {
	case s.Status.NextRefreshTime != nil:
		return s.Status.NextRefreshTime.Time, end
	case method != v1alpha1.AuthMint && method != v1alpha1.AuthOAuth:
		return time.Time{}, end
	case token.IssueTime != nil:
		return end.Add(-renewBefore(s, end.Sub(token.IssueTime.Time))), end
	case method == v1alpha1.AuthMint:
		return end.Add(-renewBefore(s, s.Spec.Auth.Mint.Lifetime.Or(DefaultLifetime))), end
	}
	return time.Time{}, end
}

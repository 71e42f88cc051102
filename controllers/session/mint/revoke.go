// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// revokeTokens deletes tokens on the server one by one. Each deletion is recorded at once, so
// that it is not repeated if a later one fails.
func (m *Method) revokeTokens(ctx context.Context, s *base.Scope, _ session.Observation, plan session.Plan) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	var ids []string
	var failed error
	for _, token := range plan.Revoke {
		if failed = m.deleteToken(ctx, s, token.ID); failed != nil {
			break
		}
		s.Revoked = append(s.Revoked, token.ID)
		ids = append(ids, token.ID)
	}
	if len(ids) > 0 && !isReplacement(s.Session, ids) {
		m.tools.Status.Event(s.Session, corev1.EventTypeNormal, v1alpha1.EventRevoked, "Revoke",
			"revoked "+strings.Join(ids, ", "))
	}
	return failed
}

// isReplacement reports whether tokens were revoked because they were replaced, which status has announced.
func isReplacement(s *v1alpha1.CoderSession, ids []string) bool {
	announced := map[string]bool{}
	for _, pending := range s.Status.PendingRevocations {
		announced[pending.ID] = true
	}
	return s.DeletionTimestamp == nil && !slices.ContainsFunc(ids, func(id string) bool { return !announced[id] })
}

// deleteToken deletes a token that is not published. It reads the Secret from the API
// server, because the cache may lag behind a write, including a write of the operator whose
// response was lost (B42).
func (m *Method) deleteToken(ctx context.Context, s *base.Scope, id string) error {
	if err := m.requireUnpublished(ctx, s, coder.Token{ID: id}); err != nil {
		return err
	}
	gone := false
	_, err := s.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		err := m.deleteSessionToken(ctx, s, resolved.Client, id)
		if gone = coder.KindOf(err) == coder.NotFound; gone {
			return requireOwnerRole(ctx, resolved.Client, s)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.Conn.Inventory.Remove(id)
	if key := s.Session.DeploymentKey(); !gone {
		m.tools.Metrics.Revoked(key.Namespace, key.Name)
	}
	return nil
}

// deleteSessionToken deletes a token of this session. The id may come from an annotation of
// a Secret, which anyone with write access to the Secret can forge. A token that is not in
// the inventory is therefore read first, and is not deleted if its name shows that it
// belongs to something else (B45).
func (m *Method) deleteSessionToken(ctx context.Context, s *base.Scope, c *coder.Client, id string) error {
	owner := m.tokenOwnerID(s, id)
	token, known := s.Conn.Inventory.Lookup(id)
	if !known {
		found, err := c.Token(ctx, owner, id)
		if err != nil {
			return err
		}
		token = found
	}
	if !m.tools.Names.OfSession(token.Name, string(s.Session.UID)) {
		ctrl.LoggerFrom(ctx).Info("a token that is not this session's is left alone", "token", id)
		return nil
	}
	return c.DeleteToken(ctx, owner, id)
}

// tokenOwnerID returns the id of the user that the token belongs to, or "me" if it is
// unknown: the path of the request may contain any user that can be read (contract B.5).
func (m *Method) tokenOwnerID(s *base.Scope, id string) string {
	if token, ok := s.Conn.Inventory.Lookup(id); ok && token.UserID != "" {
		return token.UserID
	}
	if user := s.Session.Status.User; user != nil {
		return user.ID
	}
	return "me"
}

// requireOwnerRole returns an error if the operator's user is not allowed to see the token.
// The server answers such requests as if the token did not exist (contract G.13).
func requireOwnerRole(ctx context.Context, c *coder.Client, s *base.Scope) error {
	me, err := c.Me(ctx)
	if err != nil {
		return err
	}
	user := s.Session.Status.User
	if slices.Contains(me.Roles, deployment.RoleOwner) || user != nil && user.ID == me.ID {
		return nil
	}
	return &coder.Error{
		Kind: coder.Forbidden, Op: coder.OpDeleteToken,
		Message: fmt.Sprintf("user %q no longer has the owner role, so it cannot tell whether a token exists", me.Username),
	}
}

// findLostToken revokes the token with the next serial if it exists: the server may have
// minted it although the operator did not receive the response.
func (m *Method) findLostToken(ctx context.Context, s *base.Scope, _ session.Observation, plan session.Plan) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	owner := s.Session.Spec.Auth.Mint.User
	if user := s.Session.Status.User; user != nil && user.Username == owner {
		owner = user.ID
	}
	var lost coder.Token
	resolved, err := s.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		lost, err = resolved.Client.TokenByName(ctx, owner, m.tools.Names.Token(string(s.Session.UID), plan.Mint.Serial))
		return err
	})
	switch coder.KindOf(err) {
	case coder.NotFound:
	case "":
		if err != nil {
			return err
		}
		s.Conn.Inventory.Add(lost)
		if m.isForeign(s, lost) {
			break // another operator has the next serial
		}
		if err := m.deleteToken(ctx, s, lost.ID); err != nil {
			return err
		}
		s.Revoked = append(s.Revoked, lost.ID)
	default:
		return err
	}
	of(s).searched = resolved.Snapshot.Fingerprint
	return nil
}

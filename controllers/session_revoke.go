// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// newSessionConflict returns a conflict error: the observed state is outdated.
func newSessionConflict(s *sessionScope, why string) error {
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "codersessions"}
	return apierrors.NewConflict(resource, s.object.Name, errors.New(why))
}

// revokeTokens deletes tokens on the server one by one. Each deletion is recorded at once, so
// that it is not repeated if a later one fails.
func (r *SessionReconciler) revokeTokens(ctx context.Context, s *sessionScope, tokens []session.TokenRef) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	var ids []string
	var failed error
	for _, token := range tokens {
		if failed = r.deleteToken(ctx, s, token.ID); failed != nil {
			break
		}
		s.revoked = append(s.revoked, token.ID)
		ids = append(ids, token.ID)
	}
	if len(ids) > 0 {
		r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRevoked, "Revoke", "revoked "+strings.Join(ids, ", "))
	}
	return failed
}

// deleteToken deletes a token that is not published. It reads the Secret from the API
// server, because the cache may lag behind a write, including a write of the operator whose
// response was lost (B42).
func (r *SessionReconciler) deleteToken(ctx context.Context, s *sessionScope, id string) error {
	if err := r.requireUnpublished(ctx, s, coder.Token{ID: id}); err != nil {
		return err
	}
	gone := false
	_, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		err := r.deleteSessionToken(ctx, s, resolved.Client, id)
		if gone = coder.KindOf(err) == coder.NotFound; gone {
			return requireOwnerRole(ctx, resolved.Client, s)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.conn.Inventory.Remove(id)
	if key := s.object.DeploymentKey(); !gone {
		r.metrics.Revoked(key.Namespace, key.Name)
	}
	return nil
}

// deleteSessionToken deletes a token of this session. The id may come from an annotation of
// a Secret, which anyone with write access to the Secret can forge. A token that is not in
// the inventory is therefore read first, and is not deleted if its name shows that it
// belongs to something else (B45).
func (r *SessionReconciler) deleteSessionToken(ctx context.Context, s *sessionScope, c *coder.Client, id string) error {
	owner := r.tokenOwnerID(s, id)
	token, known := s.conn.Inventory.Lookup(id)
	if !known {
		found, err := c.Token(ctx, owner, id)
		if err != nil {
			return err
		}
		token = found
	}
	if !r.names.OfSession(token.Name, string(s.object.UID)) {
		ctrl.LoggerFrom(ctx).Info("a token that is not this session's is left alone", "token", id)
		return nil
	}
	return c.DeleteToken(ctx, owner, id)
}

// tokenOwnerID returns the id of the user that the token belongs to, or "me" if it is
// unknown: the path of the request may contain any user that can be read (contract B.5).
func (r *SessionReconciler) tokenOwnerID(s *sessionScope, id string) string {
	if token, ok := s.conn.Inventory.Lookup(id); ok && token.UserID != "" {
		return token.UserID
	}
	if user := s.object.Status.User; user != nil {
		return user.ID
	}
	return "me"
}

// requireOwnerRole returns an error if the operator's user is not allowed to see the token.
// The server answers such requests as if the token did not exist (contract G.13).
func requireOwnerRole(ctx context.Context, c *coder.Client, s *sessionScope) error {
	me, err := c.Me(ctx)
	if err != nil {
		return err
	}
	user := s.object.Status.User
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
func (r *SessionReconciler) findLostToken(ctx context.Context, s *sessionScope, serial int64) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	owner := s.object.Spec.Auth.Mint.User
	if user := s.object.Status.User; user != nil && user.Username == owner {
		owner = user.ID
	}
	var lost coder.Token
	_, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		lost, err = resolved.Client.TokenByName(ctx, owner, r.names.Token(string(s.object.UID), serial))
		return err
	})
	switch coder.KindOf(err) {
	case coder.NotFound:
	case "":
		if err != nil {
			return err
		}
		s.conn.Inventory.Add(lost)
		if err := r.deleteToken(ctx, s, lost.ID); err != nil {
			return err
		}
		s.revoked = append(s.revoked, lost.ID)
	default:
		return err
	}
	s.lostTokenSearched = true
	return nil
}

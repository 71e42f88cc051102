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

// errMoved is a conflict: what was observed is no longer so.
func errMoved(s *sessionScope, why string) error {
	return apierrors.NewConflict(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "codersessions"}, s.object.Name, errors.New(why))
}

// revoke deletes tokens on the server, one by one. What is gone is noted at once,
// so that a failure in the middle repeats nothing.
func (r *SessionReconciler) revoke(ctx context.Context, s *sessionScope, doomed []session.TokenRef) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	var ids []string
	var failed error
	for _, token := range doomed {
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

// deleteToken deletes a token that is not published. The cache may lag behind a
// write, even one of the operator's own that was never answered, so the Secret
// itself is asked (B42).
func (r *SessionReconciler) deleteToken(ctx context.Context, s *sessionScope, id string) error {
	if err := r.unpublished(ctx, s, coder.Token{ID: id}); err != nil {
		return err
	}
	gone := false
	_, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
		err := r.deleteOwn(ctx, s, line.Client, id)
		if gone = coder.KindOf(err) == coder.NotFound; gone {
			return stillOwner(ctx, line.Client, s)
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

// deleteOwn deletes a token of the session's. An id can come from the annotation of
// a Secret, which whoever may write the Secret may forge: one that the inventory
// does not know is looked at first, and a token with another name is left alone
// (B45).
func (r *SessionReconciler) deleteOwn(ctx context.Context, s *sessionScope, c *coder.Client, id string) error {
	holder := r.holder(s, id)
	token, known := s.conn.Inventory.Lookup(id)
	if !known {
		found, err := c.Token(ctx, holder, id)
		if err != nil {
			return err
		}
		token = found
	}
	if !r.names.OfSession(token.Name, string(s.object.UID)) {
		ctrl.LoggerFrom(ctx).Info("a token that is not this session's is left alone", "token", id)
		return nil
	}
	return c.DeleteToken(ctx, holder, id)
}

// holder is whose token it is; the operator itself, where nobody knows (the path
// only has to name a user that can be read, contract B.5).
func (r *SessionReconciler) holder(s *sessionScope, id string) string {
	if token, ok := s.conn.Inventory.Lookup(id); ok && token.UserID != "" {
		return token.UserID
	}
	if user := s.object.Status.User; user != nil {
		return user.ID
	}
	return "me"
}

// stillOwner tells a token that is gone from one that the operator may no longer
// see: without the owner role everything looks deleted (contract G.13).
func stillOwner(ctx context.Context, c *coder.Client, s *sessionScope) error {
	me, err := c.Me(ctx)
	if err != nil {
		return err
	}
	user := s.object.Status.User
	if slices.Contains(me.Roles, deployment.RoleOwner) || user != nil && user.ID == me.ID {
		return nil
	}
	return &coder.Error{Kind: coder.Forbidden, Op: coder.OpDeleteToken, Message: fmt.Sprintf("user %q is no owner any more, so it cannot tell whether a token exists", me.Username)}
}

// sweep looks for the token that a lost answer may have left: minted, and never
// heard of. Its name is the next one.
func (r *SessionReconciler) sweep(ctx context.Context, s *sessionScope, serial int64) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	holder := s.object.Spec.Auth.Mint.User
	if user := s.object.Status.User; user != nil && user.Username == holder {
		holder = user.ID
	}
	var lost coder.Token
	_, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) (err error) {
		lost, err = line.Client.TokenByName(ctx, holder, r.names.Token(string(s.object.UID), serial))
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
	s.swept = true
	return nil
}

package controllers

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// mint creates a token, checks it without touching it, and publishes it. Its
// value exists nowhere but here until the Secret is written; whatever goes wrong
// before, the name finds it again (B40, B41).
func (r *SessionReconciler) mint(ctx context.Context, s *sessionScope, o session.Observation, order session.Order) error {
	ctx, cancel := uncut(ctx)
	defer cancel()
	var value redact.Secret
	var token coder.Token
	_, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.Line) (err error) {
		if value, err = r.create(ctx, s, line.Client, order); err != nil {
			return err
		}
		token, err = r.examine(ctx, line.Client, value, order)
		return err
	})
	if err != nil {
		return err
	}
	s.conn.Inventory.Add(token)
	rotated := s.prior.Token != nil
	next := secret.Token{
		Value: value, ID: token.ID, Serial: order.Serial, ExpiresAt: token.ExpiresAt, Request: o.Request,
	}
	if err := r.write(ctx, s, next); err != nil {
		r.discard(ctx, s, token)
		return err
	}
	key := s.object.DeploymentKey()
	r.metrics.Minted(key.Namespace, key.Name)
	event, verb := v1alpha1.EventMinted, "minted"
	if rotated {
		event, verb = v1alpha1.EventRotated, "rotated"
	}
	r.status.Event(s.object, corev1.EventTypeNormal, event, "Mint",
		fmt.Sprintf("%s token %s for user %q and published it in Secret %q", verb, token.ID, s.object.Spec.Auth.Mint.User, s.object.SecretName()))
	return nil
}

// create posts the token. A name that is taken is this session's own, from a
// crash or a lost answer: its value is lost, so it is deleted and posted again.
func (r *SessionReconciler) create(ctx context.Context, s *sessionScope, c *coder.Client, order session.Order) (redact.Secret, error) {
	request := coder.TokenRequest{
		Name:      r.names.Token(string(s.object.UID), order.Serial),
		Lifetime:  order.Lifetime,
		Scopes:    texts(s.object.Spec.Auth.Mint.Scopes),
		AllowList: texts(s.object.Spec.Auth.Mint.AllowList),
	}
	value, err := c.MintToken(ctx, order.UserID, request)
	if coder.KindOf(err) != coder.Conflict {
		return value, err
	}
	lost, err := c.TokenByName(ctx, order.UserID, request.Name)
	if err != nil {
		return redact.Secret{}, err
	}
	if err := r.unpublished(ctx, s, lost); err != nil {
		return redact.Secret{}, err
	}
	if err := c.DeleteToken(ctx, lost.UserID, lost.ID); err != nil && coder.KindOf(err) != coder.NotFound {
		return redact.Secret{}, err
	}
	s.conn.Inventory.Remove(lost.ID)
	return c.MintToken(ctx, order.UserID, request)
}

// unpublished makes sure, at the source of truth and not in a cache that may lag,
// that a token is not the one that somebody is using.
func (r *SessionReconciler) unpublished(ctx context.Context, s *sessionScope, token coder.Token) error {
	taken := func(why string) error {
		return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, s.object.SecretName(), errors.New(why))
	}
	meta := metadataOf("Secret")
	err := r.contents.Get(ctx, types.NamespacedName{Namespace: s.object.Namespace, Name: s.object.SecretName()}, meta)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("look whether token %s is published: %w", token.ID, err)
	}
	if err == nil && meta.Annotations[v1alpha1.AnnotationTokenID] == token.ID {
		return taken("it publishes the token already")
	}
	// Two sessions can share the beginning of their UIDs.
	others, err := sessionsBy(ctx, r.client, byTokenPrefix, r.names.SessionPrefix(string(s.object.UID)))
	if err != nil {
		return err
	}
	for i := range others {
		if status := others[i].Status.Token; others[i].UID != s.object.UID && status != nil && status.ID == token.ID {
			return taken(fmt.Sprintf("the token is session %s/%s's", others[i].Namespace, others[i].Name))
		}
	}
	return nil
}

// examine reads the new token back as the operator, which does not touch it
// (contract G.8), and refuses one that is not what was ordered.
func (r *SessionReconciler) examine(ctx context.Context, c *coder.Client, value redact.Secret, order session.Order) (coder.Token, error) {
	id, err := coder.TokenID(value)
	if err != nil {
		return coder.Token{}, err
	}
	token, err := c.Token(ctx, order.UserID, id)
	if err != nil {
		return coder.Token{}, err
	}
	if token.UserID != order.UserID {
		deleted := c.DeleteToken(ctx, token.UserID, token.ID)
		return coder.Token{}, errors.Join(fmt.Errorf("the server minted token %s for user %s instead of %s", token.ID, token.UserID, order.UserID), deleted)
	}
	return token, nil
}

// discard revokes a token that could not be published, so that nobody can be using
// it. Where that fails too, the inventory still knows it and the next pass revokes
// it.
func (r *SessionReconciler) discard(ctx context.Context, s *sessionScope, token coder.Token) {
	_, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.Line) error {
		return line.Client.DeleteToken(ctx, token.UserID, token.ID)
	})
	if err == nil || coder.KindOf(err) == coder.NotFound {
		s.conn.Inventory.Remove(token.ID)
		return
	}
	ctrl.LoggerFrom(ctx).Info("a token that could not be published is left for the next pass to revoke", "token", token.ID, "problem", err.Error())
}

func texts[T ~string](items []T) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = string(item)
	}
	return list
}

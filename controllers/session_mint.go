// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// mint creates a token, checks it without touching it, and publishes it.
func (r *SessionReconciler) mint(ctx context.Context, s *sessionScope, order session.MintRequest) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	wish := s.object.Spec.Auth.Mint
	m := minting{
		conn:   s.conn,
		userID: order.UserID,
		request: coder.TokenRequest{
			Name:      r.names.Token(string(s.object.UID), order.Serial),
			Lifetime:  order.Lifetime,
			Scopes:    texts(wish.Scopes),
			AllowList: texts(wish.AllowList),
		},
		unpublished: func(ctx context.Context, token coder.Token) error { return r.unpublished(ctx, s, token) },
	}
	value, token, err := m.run(ctx)
	if err != nil {
		return err
	}
	event, verb := v1alpha1.EventMinted, "minted"
	if s.prior.Token != nil {
		event, verb = v1alpha1.EventRotated, "rotated"
	}
	next := secret.Token{
		Value: value, ID: token.ID, Serial: order.Serial, ExpiresAt: token.ExpiresAt, Request: order.SpecDigest,
	}
	if err := r.write(ctx, s, next); err != nil {
		m.discard(ctx, token)
		return err
	}
	s.announced = true
	key := s.object.DeploymentKey()
	r.metrics.Minted(key.Namespace, key.Name)
	r.status.Event(s.object, corev1.EventTypeNormal, event, "Mint",
		fmt.Sprintf("%s token %s for user %q and published it in Secret %q", verb, token.ID, wish.User, s.object.SecretName()))
	return nil
}

// unpublished makes sure, at the source of truth and not in a cache that may lag,
// that a token is not the one that somebody is using.
func (r *SessionReconciler) unpublished(ctx context.Context, s *sessionScope, token coder.Token) error {
	taken := func(why string) error {
		return errTaken(s.object.SecretName(), why)
	}
	meta := metadataOf("Secret")
	err := r.apiReader.Get(ctx, types.NamespacedName{Namespace: s.object.Namespace, Name: s.object.SecretName()}, meta)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("look whether token %s is published: %w", token.ID, err)
	}
	state := secret.StateOf(meta, s.object)
	if err == nil && state.Ownership == secret.Owned && !state.Deleting && state.Token != nil && state.Token.ID == token.ID {
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

func texts[T ~string](items []T) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = string(item)
	}
	return list
}

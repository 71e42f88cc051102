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

// mintToken mints a token, verifies it without using it, and publishes it.
func (r *SessionReconciler) mintToken(ctx context.Context, s *sessionScope, request session.MintRequest) error {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	spec := s.object.Spec.Auth.Mint
	m := mintOperation{
		conn:   s.conn,
		userID: request.UserID,
		request: coder.TokenRequest{
			Name:      r.names.Token(string(s.object.UID), request.Serial),
			Lifetime:  request.Lifetime,
			Scopes:    toStrings(spec.Scopes),
			AllowList: toStrings(spec.AllowList),
		},
		requireUnpublished: func(ctx context.Context, token coder.Token) error { return r.requireUnpublished(ctx, s, token) },
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
		Value: value, ID: token.ID, Serial: request.Serial, ExpiresAt: token.ExpiresAt, Request: request.SpecDigest,
	}
	if err := r.writeSecret(ctx, s, next); err != nil {
		m.revokeUnstored(ctx, token)
		return err
	}
	s.credentialEventSent = true
	key := s.object.DeploymentKey()
	r.metrics.Minted(key.Namespace, key.Name)
	r.status.Event(s.object, corev1.EventTypeNormal, event, "Mint",
		fmt.Sprintf("%s token %s for user %q and published it in Secret %q",
			verb, token.ID, spec.User, s.object.SecretName()))
	return nil
}

// requireUnpublished returns a conflict error if a token is published in the session's
// Secret or belongs to another session. It reads the Secret from the API server, because
// the cache may lag.
func (r *SessionReconciler) requireUnpublished(ctx context.Context, s *sessionScope, token coder.Token) error {
	published := func(why string) error {
		return newSecretConflict(s.object.SecretName(), why)
	}
	meta := metadataOf("Secret")
	err := r.apiReader.Get(ctx, types.NamespacedName{Namespace: s.object.Namespace, Name: s.object.SecretName()}, meta)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("look whether token %s is published: %w", token.ID, err)
	}
	state := secret.StateOf(meta, s.object)
	owned := err == nil && state.Ownership == secret.Owned && !state.Deleting
	if owned && state.Token != nil && state.Token.ID == token.ID {
		return published("it publishes the token already")
	}
	// The prefix contains only a part of the UID, so two sessions can share it.
	others, err := sessionsBy(ctx, r.client, byTokenPrefix, r.names.SessionPrefix(string(s.object.UID)))
	if err != nil {
		return err
	}
	for i := range others {
		if status := others[i].Status.Token; others[i].UID != s.object.UID && status != nil && status.ID == token.ID {
			return published(fmt.Sprintf("the token is session %s/%s's", others[i].Namespace, others[i].Name))
		}
	}
	return nil
}

func toStrings[T ~string](items []T) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = string(item)
	}
	return list
}

// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// sourceMemory is the supplied token as it was last read, with the resource version of its
// Secret. It does not contain the value of the token.
type sourceMemory struct {
	version string
	source  session.SuppliedToken
}

// observeSource observes the supplied token. Its Secret is read again only if its resource
// version has changed.
func (r *SessionReconciler) observeSource(ctx context.Context, s *sessionScope) (session.SuppliedToken, error) {
	if s.object.Spec.Auth.Token == nil {
		return session.SuppliedToken{}, nil
	}
	meta := metadataOf("Secret")
	err := r.client.Get(ctx, r.sourceKey(s), meta)
	if client.IgnoreNotFound(err) != nil {
		return session.SuppliedToken{}, fmt.Errorf("look at the Secret of the supplied token: %w", err)
	}
	if known := s.memory.source; err == nil && known.version == meta.ResourceVersion {
		return known.source, nil
	}
	source, _, version, err := r.readSource(ctx, s)
	if err != nil {
		return source, err
	}
	s.memory.source = sourceMemory{version: version, source: source}
	return source, nil
}

func (r *SessionReconciler) sourceKey(s *sessionScope) types.NamespacedName {
	return types.NamespacedName{Namespace: s.object.Namespace, Name: string(s.object.Spec.Auth.Token.SecretRef.Name)}
}

// readSource reads the supplied token from the API server. It returns the token's
// description, its value, and the resource version of its Secret.
func (r *SessionReconciler) readSource(
	ctx context.Context, s *sessionScope,
) (session.SuppliedToken, redact.Secret, string, error) {
	ref := s.object.Spec.Auth.Token.SecretRef
	keyName := ref.DataKey()
	object := &corev1.Secret{}
	if err := r.apiReader.Get(ctx, r.sourceKey(s), object); err != nil {
		if apierrors.IsNotFound(err) {
			problem := fmt.Sprintf("Secret %q does not exist: create it with the token under key %q", ref.Name, keyName)
			return session.SuppliedToken{Problem: problem}, redact.Secret{}, "", nil
		}
		return session.SuppliedToken{}, redact.Secret{}, "", fmt.Errorf("read the supplied token: %w", err)
	}
	data, ok := object.Data[keyName]
	if !ok {
		problem := fmt.Sprintf("Secret %q has no key %q: write the token there", ref.Name, keyName)
		return session.SuppliedToken{Problem: problem}, redact.Secret{}, object.ResourceVersion, nil
	}
	value := redact.New(strings.TrimSpace(string(data)))
	if value.Empty() {
		return session.SuppliedToken{Empty: true}, value, object.ResourceVersion, nil
	}
	id, err := coder.TokenID(value)
	if err != nil {
		problem := fmt.Sprintf("Secret %q, key %q: %v", ref.Name, keyName, err)
		return session.SuppliedToken{Problem: problem}, redact.Secret{}, object.ResourceVersion, nil
	}
	supplied := session.SuppliedToken{ID: id, Fingerprint: secret.TokenFingerprint(r.key, value)}
	return supplied, value, object.ResourceVersion, nil
}

// suppliedCaller calls with a supplied token. If the token is rejected, it checks whether the
// Secret has been updated with another one.
type suppliedCaller struct {
	read  func(context.Context) (session.SuppliedToken, redact.Secret, error)
	value redact.Secret
	// source that value belongs to.
	source session.SuppliedToken
}

// Token returns the token to call with.
func (c *suppliedCaller) Token() redact.Secret { return c.value }

// Refresh reads the token again and reports whether it has changed.
func (c *suppliedCaller) Refresh(ctx context.Context) (bool, error) {
	source, value, err := c.read(ctx)
	if err != nil || source.Problem != "" || source.Fingerprint == c.source.Fingerprint {
		return false, err
	}
	c.source, c.value = source, value
	return true, nil
}

// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// predecessorOverlap is how long the operator's replaced token stays valid, for replicas
// and requests that still use it.
const predecessorOverlap = 5 * time.Minute

// tokenKey is the Secret of the operator's own token.
func tokenKey(d *v1alpha1.CoderDeployment) types.NamespacedName {
	return types.NamespacedName{Namespace: d.Namespace, Name: string(d.Spec.Token.SecretRef.Name)}
}

// observeRenewal combines the remembered renewal attempts with the predecessor that is
// recorded in annotations of the token's Secret. Failures with a previous token are
// ignored.
func (r *DeploymentReconciler) observeRenewal(ctx context.Context, s *deploymentScope) (deployment.Renewal, error) {
	seen := s.memory.renewal
	if s.memory.renewalTokenID != s.memory.verified.Token.ID {
		seen = deployment.Renewal{}
	}
	if token := s.object.Spec.Token; token == nil || token.Renew == nil {
		return deployment.Renewal{}, nil
	}
	meta := metadataOf("Secret")
	if err := r.client.Get(ctx, tokenKey(s.object), meta); err != nil {
		return seen, client.IgnoreNotFound(err)
	}
	after, err := time.Parse(time.RFC3339, meta.Annotations[v1alpha1.AnnotationRevokeAfter])
	if id := meta.Annotations[v1alpha1.AnnotationPredecessor]; err == nil && id != s.memory.revokedPredecessor {
		seen.Predecessor, seen.RevokeAfter = id, after
	}
	return seen, nil
}

// renewToken mints a new token for the operator and writes it to the Secret that holds the
// current one (B50). The deployment handles this like any other change of its settings.
// It returns false if the outcome must be discarded because settings are changing.
func (r *DeploymentReconciler) renewToken(ctx context.Context, s *deploymentScope) (bool, error) {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	return r.recordRenewal(s, r.replaceToken(ctx, s))
}

// recordRenewal remembers the outcome of an attempt and returns errors of the API server.
// An error while settings are changing is not a failure (B08), nor is a write conflict; the
// next pass tries again.
func (r *DeploymentReconciler) recordRenewal(s *deploymentScope, err error) (bool, error) {
	found := connection.ResultOf(err)
	switch {
	case found.Outcome == authcheck.ConfigChanging:
		return false, nil
	case apierrors.IsConflict(err):
		return false, err
	}
	if own := s.memory.verified.Token.ID; s.memory.renewalTokenID != own {
		s.memory.renewalTokenID, s.memory.renewal = own, deployment.Renewal{}
	}
	s.memory.renewal.Time = r.clock.Now()
	s.memory.renewal.Result = found
	if err == nil {
		s.memory.renewal.Failures = 0
		return true, nil
	}
	s.memory.renewal.Failures++
	var failed *coder.Error
	if errors.As(err, &failed) {
		return true, nil
	}
	return false, err
}

func (r *DeploymentReconciler) replaceToken(ctx context.Context, s *deploymentScope) error {
	own, user := s.memory.verified.Token, s.memory.verified.User.ID
	uid := string(s.object.UID)
	var limit time.Duration
	resolved, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		limit, err = resolved.Client.MaxTokenLifetime(ctx, user)
		return err
	})
	if err != nil {
		return err
	}
	// The token may have been replaced although the cache does not show it yet. Checking
	// the Secret first avoids minting a token that cannot be stored.
	if _, err := r.tokenSecret(ctx, s, resolved.Snapshot.Token.Equal); err != nil {
		return err
	}
	serial, _ := r.names.Serial(own.Name, uid) // 0 if the operator did not mint the current token
	m := mintOperation{
		conn: s.conn, userID: user,
		request: coder.TokenRequest{Name: r.names.Token(uid, serial+1), Lifetime: deployment.RenewLifetime(s.object, limit)},
		requireUnpublished: func(ctx context.Context, lost coder.Token) error {
			_, err := r.tokenSecret(ctx, s, func(value redact.Secret) bool {
				id, _ := coder.TokenID(value)
				return id != lost.ID
			})
			return err
		},
	}
	value, token, err := m.run(ctx)
	if err != nil {
		return err
	}
	if err := r.storeToken(ctx, s, resolved.Snapshot.Token, value, own.ID); err != nil {
		m.revokeUnstored(ctx, token)
		return err
	}
	s.memory.verified.Token = deployment.OwnToken{
		ID: token.ID, Name: token.Name, CreatedAt: token.CreatedAt, ExpiresAt: token.ExpiresAt,
	}
	r.metrics.Minted(s.key.Namespace, s.key.Name)
	r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.ReasonRenewed, "Renew",
		fmt.Sprintf("renewed the operator's own token into Secret %q: %s replaces %s",
			s.object.Spec.Token.SecretRef.Name, token.ID, own.ID))
	return nil
}

// tokenSecret reads the Secret of the operator's own token from the API server. It returns a
// conflict error if the Secret does not hold an expected token.
func (r *DeploymentReconciler) tokenSecret(
	ctx context.Context, s *deploymentScope, expected func(redact.Secret) bool,
) (*corev1.Secret, error) {
	object := &corev1.Secret{}
	if err := r.apiReader.Get(ctx, tokenKey(s.object), object); err != nil {
		return nil, fmt.Errorf("read the operator's own token: %w", err)
	}
	if !expected(redact.New(strings.TrimSpace(string(object.Data[s.object.Spec.Token.SecretRef.DataKey()])))) {
		return nil, newSecretConflict(object.Name, "it holds another token by now")
	}
	return object, nil
}

// storeToken replaces the old token in the Secret by the new one. It returns a conflict
// error if the Secret no longer holds the old token, so that a token of another writer is
// not overwritten (B30).
func (r *DeploymentReconciler) storeToken(
	ctx context.Context, s *deploymentScope, old, value redact.Secret, oldID string,
) error {
	object, err := r.tokenSecret(ctx, s, old.Equal)
	if err != nil {
		return err
	}
	object.Data[s.object.Spec.Token.SecretRef.DataKey()] = []byte(value.Reveal())
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	object.Annotations[v1alpha1.AnnotationPredecessor] = oldID
	revokeAfter := r.clock.Now().Add(predecessorOverlap).UTC()
	object.Annotations[v1alpha1.AnnotationRevokeAfter] = revokeAfter.Format(time.RFC3339)
	if err := r.client.Update(ctx, object); err != nil {
		return fmt.Errorf("write the operator's own token: %w", err)
	}
	return nil
}

// revokePredecessor revokes the token that was replaced and removes the annotations that
// record it. It returns false if the outcome must be discarded because settings are changing.
func (r *DeploymentReconciler) revokePredecessor(ctx context.Context, s *deploymentScope) (bool, error) {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	return r.recordRenewal(s, r.deletePredecessor(ctx, s))
}

func (r *DeploymentReconciler) deletePredecessor(ctx context.Context, s *deploymentScope) error {
	renewal, err := r.observeRenewal(ctx, s)
	if err != nil {
		return err
	}
	_, err = s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		return resolved.Client.DeleteToken(ctx, s.memory.verified.User.ID, renewal.Predecessor)
	})
	if err != nil && coder.KindOf(err) != coder.NotFound {
		return err
	}
	s.conn.Inventory.Remove(renewal.Predecessor)
	object, err := r.tokenSecret(ctx, s, func(redact.Secret) bool { return true })
	if err != nil {
		return err
	}
	if object.Annotations[v1alpha1.AnnotationPredecessor] == renewal.Predecessor {
		delete(object.Annotations, v1alpha1.AnnotationPredecessor)
		delete(object.Annotations, v1alpha1.AnnotationRevokeAfter)
		if err := r.client.Update(ctx, object); err != nil {
			return fmt.Errorf("note that the operator's former token is revoked: %w", err)
		}
	}
	s.memory.revokedPredecessor = renewal.Predecessor
	r.metrics.Revoked(s.key.Namespace, s.key.Name)
	r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRevoked, "Revoke",
		"revoked the operator's former token "+renewal.Predecessor)
	return nil
}

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

// predecessorOverlap is how long the operator's replaced token lives on, for a
// replica or a request that still has it.
const predecessorOverlap = 5 * time.Minute

// tokenKey is the Secret of the operator's own token.
func tokenKey(d *v1alpha1.CoderDeployment) types.NamespacedName {
	return types.NamespacedName{Namespace: d.Namespace, Name: string(d.Spec.Token.SecretRef.Name)}
}

// observeRenewal adds to what this process remembers what stands beside the token:
// which one it replaced. What failed with a token that is not in use any more says
// nothing about the present one.
func (r *DeploymentReconciler) observeRenewal(ctx context.Context, s *deploymentScope) (deployment.Renewal, error) {
	seen := s.memory.renewal
	if s.memory.renewing != s.memory.verified.Token.ID {
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
	if id := meta.Annotations[v1alpha1.AnnotationPredecessor]; err == nil && id != s.memory.dropped {
		seen.Predecessor, seen.RevokeAfter = id, after
	}
	return seen, nil
}

// renew mints the successor of the operator's own token into the Secret that it
// came from (B50). For the deployment that is a change of settings like any other.
// It reports false when the outcome is not to be believed.
func (r *DeploymentReconciler) renew(ctx context.Context, s *deploymentScope) (bool, error) {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	return r.noteRenewal(s, r.replaceToken(ctx, s))
}

// noteRenewal remembers an attempt. Errors of the API server come back. An answer to
// settings that are changing is no failure (B08), nor is a write that met somebody
// else's: the next pass simply tries again.
func (r *DeploymentReconciler) noteRenewal(s *deploymentScope, err error) (bool, error) {
	found := connection.ResultOf(err)
	switch {
	case found.Outcome == authcheck.ConfigChanging:
		return false, nil
	case apierrors.IsConflict(err):
		return false, err
	}
	if own := s.memory.verified.Token.ID; s.memory.renewing != own {
		s.memory.renewing, s.memory.renewal = own, deployment.Renewal{}
	}
	s.memory.renewal.At = r.clock.Now()
	s.memory.renewal.Verdict = found
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
	line, err := s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) (err error) {
		limit, err = line.Client.MaxTokenLifetime(ctx, user)
		return err
	})
	if err != nil {
		return err
	}
	// Somebody may have replaced it without the cache knowing yet: then nothing is
	// minted in vain.
	if _, err := r.tokenSecret(ctx, s, line.Snapshot.Token.Equal); err != nil {
		return err
	}
	serial, _ := r.names.Serial(own.Name, uid) // 0 for the first, which somebody else named
	m := minting{
		conn: s.conn, userID: user,
		request: coder.TokenRequest{Name: r.names.Token(uid, serial+1), Lifetime: deployment.RenewLifetime(s.object, limit)},
		unpublished: func(ctx context.Context, lost coder.Token) error {
			_, err := r.tokenSecret(ctx, s, func(value redact.Secret) bool { id, _ := coder.TokenID(value); return id != lost.ID })
			return err
		},
	}
	value, token, err := m.run(ctx)
	if err != nil {
		return err
	}
	if err := r.storeToken(ctx, s, line.Snapshot.Token, value, own.ID); err != nil {
		m.discard(ctx, token)
		return err
	}
	s.memory.verified.Token = deployment.OwnToken{ID: token.ID, Name: token.Name, CreatedAt: token.CreatedAt, ExpiresAt: token.ExpiresAt}
	r.metrics.Minted(s.key.Namespace, s.key.Name)
	r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.ReasonRenewed, "Renew",
		fmt.Sprintf("renewed the operator's own token into Secret %q: %s replaces %s", s.object.Spec.Token.SecretRef.Name, token.ID, own.ID))
	return nil
}

// tokenSecret reads the Secret of the operator's own token as it is now, and
// refuses one whose token is not the expected one.
func (r *DeploymentReconciler) tokenSecret(ctx context.Context, s *deploymentScope, expected func(redact.Secret) bool) (*corev1.Secret, error) {
	object := &corev1.Secret{}
	if err := r.apiReader.Get(ctx, tokenKey(s.object), object); err != nil {
		return nil, fmt.Errorf("read the operator's own token: %w", err)
	}
	if !expected(redact.New(strings.TrimSpace(string(object.Data[s.object.Spec.Token.SecretRef.DataKey()])))) {
		return nil, errTaken(object.Name, "it holds another token by now")
	}
	return object, nil
}

// storeToken puts the new token in the place of the old, on the condition that the
// old one is still there: who wrote another meanwhile is not overwritten (B30).
func (r *DeploymentReconciler) storeToken(ctx context.Context, s *deploymentScope, old, value redact.Secret, oldID string) error {
	object, err := r.tokenSecret(ctx, s, old.Equal)
	if err != nil {
		return err
	}
	object.Data[s.object.Spec.Token.SecretRef.DataKey()] = []byte(value.Reveal())
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	object.Annotations[v1alpha1.AnnotationPredecessor] = oldID
	object.Annotations[v1alpha1.AnnotationRevokeAfter] = r.clock.Now().Add(predecessorOverlap).UTC().Format(time.RFC3339)
	if err := r.client.Update(ctx, object); err != nil {
		return fmt.Errorf("write the operator's own token: %w", err)
	}
	return nil
}

// revokePredecessor revokes the token that was replaced, then forgets it.
// It reports false when the outcome is not to be believed.
func (r *DeploymentReconciler) revokePredecessor(ctx context.Context, s *deploymentScope) (bool, error) {
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	return r.noteRenewal(s, r.dropPredecessor(ctx, s))
}

func (r *DeploymentReconciler) dropPredecessor(ctx context.Context, s *deploymentScope) error {
	renewal, err := r.observeRenewal(ctx, s)
	if err != nil {
		return err
	}
	_, err = s.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
		return line.Client.DeleteToken(ctx, s.memory.verified.User.ID, renewal.Predecessor)
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
	s.memory.dropped = renewal.Predecessor
	r.metrics.Revoked(s.key.Namespace, s.key.Name)
	r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRevoked, "Revoke", "revoked the operator's former token "+renewal.Predecessor)
	return nil
}

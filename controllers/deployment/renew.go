// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/minting"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// PredecessorOverlap is how long the operator's replaced token stays valid, for replicas
// and requests that still use it.
const PredecessorOverlap = 5 * time.Minute

// tokenKey is the Secret of the operator's own token.
func tokenKey(d *v1alpha1.CoderDeployment) types.NamespacedName {
	return types.NamespacedName{Namespace: d.Namespace, Name: string(d.Spec.Token.SecretRef.Name)}
}

// observeRenewal combines the remembered renewal attempts with the predecessor that is
// recorded in annotations of the token's Secret. Failures with a previous token are
// ignored.
func (r *Reconciler) observeRenewal(ctx context.Context, s *scope) (deployment.Renewal, error) {
	seen := s.memory.renewal
	if s.memory.renewalTokenID != s.memory.verified.Token.ID {
		seen = deployment.Renewal{}
	}
	if token := s.object.Spec.Token; token == nil || token.Renew == nil {
		return deployment.Renewal{}, nil
	}
	meta := lookup.Metadata("Secret")
	if err := r.o.Client.Get(ctx, tokenKey(s.object), meta); err != nil {
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
func (r *Reconciler) renewToken(ctx context.Context, s *scope) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	return r.recordRenewal(s, r.replaceToken(ctx, s))
}

// recordRenewal remembers the outcome of an attempt and returns errors of the API server.
// An error while settings are changing is not a failure (B08), nor is a write conflict; the
// next pass tries again.
func (r *Reconciler) recordRenewal(s *scope, err error) error {
	found := connection.ResultOf(err)
	switch {
	case found.Outcome == authcheck.ConfigChanging:
		return errSettingsChanging
	case apierrors.IsConflict(err):
		return err
	}
	if own := s.memory.verified.Token.ID; s.memory.renewalTokenID != own {
		s.memory.renewalTokenID, s.memory.renewal = own, deployment.Renewal{}
	}
	s.memory.renewal.Time = r.o.Clock.Now()
	s.memory.renewal.Result = found
	if err == nil {
		s.memory.renewal.Failures = 0
		return nil
	}
	s.memory.renewal.Failures++
	if isServerError(err) {
		return nil // the condition TokenRenewed says it
	}
	return err
}

func (r *Reconciler) replaceToken(ctx context.Context, s *scope) error {
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
	serial, _ := r.o.Names.Serial(own.Name, uid) // 0 if the operator did not mint the current token
	m := minting.Operation{
		Conn: s.conn, UserID: user,
		Request: coder.TokenRequest{
			Name: r.o.Names.Token(uid, serial+1), Lifetime: deployment.RenewLifetime(s.object, limit),
		},
		RequireUnpublished: func(ctx context.Context, lost coder.Token) error {
			_, err := r.tokenSecret(ctx, s, func(value redact.Secret) bool {
				id, _ := coder.TokenID(value)
				return id != lost.ID
			})
			return err
		},
	}
	value, token, err := m.Run(ctx)
	if err != nil {
		return err
	}
	if err := r.storeToken(ctx, s, resolved.Snapshot.Token, value, own.ID); err != nil {
		m.RevokeUnstored(ctx, token)
		return err
	}
	s.memory.verified.Token = deployment.OwnToken{
		ID: token.ID, Name: token.Name, CreatedAt: token.CreatedAt, ExpiresAt: token.ExpiresAt,
		Minted: true,
	}
	r.o.Metrics.Minted(s.key.Namespace, s.key.Name)
	r.o.Status.Event(s.object, corev1.EventTypeNormal, v1alpha1.ReasonRenewed, "Renew",
		fmt.Sprintf("renewed the operator's own token into Secret %q: %s replaces %s",
			s.object.Spec.Token.SecretRef.Name, token.ID, own.ID))
	return nil
}

// tokenSecret reads the Secret of the operator's own token from the API server. It returns a
// conflict error if the Secret does not hold an expected token.
func (r *Reconciler) tokenSecret(
	ctx context.Context, s *scope, expected func(redact.Secret) bool,
) (*corev1.Secret, error) {
	object := &corev1.Secret{}
	if err := r.o.APIReader.Get(ctx, tokenKey(s.object), object); err != nil {
		return nil, fmt.Errorf("read the operator's own token: %w", err)
	}
	if !expected(redact.New(strings.TrimSpace(string(object.Data[s.object.Spec.Token.SecretRef.DataKey()])))) {
		return nil, minting.SecretConflict(object.Name, "it holds another token by now")
	}
	return object, nil
}

// storeToken replaces the old token in the Secret by the new one. It returns a conflict
// error if the Secret no longer holds the old token, so that a token of another writer is
// not overwritten (B30).
func (r *Reconciler) storeToken(
	ctx context.Context, s *scope, old, value redact.Secret, oldID string,
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
	revokeAfter := r.o.Clock.Now().Add(PredecessorOverlap).UTC()
	object.Annotations[v1alpha1.AnnotationRevokeAfter] = revokeAfter.Format(time.RFC3339)
	if err := r.o.Client.Update(ctx, object); err != nil {
		return fmt.Errorf("write the operator's own token: %w", err)
	}
	return nil
}

// revokePredecessor revokes the token that was replaced and removes the annotations that
// record it.
func (r *Reconciler) revokePredecessor(ctx context.Context, s *scope) error {
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	return r.recordRenewal(s, r.deletePredecessor(ctx, s))
}

func (r *Reconciler) deletePredecessor(ctx context.Context, s *scope) error {
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
		if err := r.o.Client.Update(ctx, object); err != nil {
			return fmt.Errorf("note that the operator's former token is revoked: %w", err)
		}
	}
	s.memory.revokedPredecessor = renewal.Predecessor
	r.o.Metrics.Revoked(s.key.Namespace, s.key.Name)
	r.o.Status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRevoked, "Revoke",
		"revoked the operator's former token "+renewal.Predecessor)
	return nil
}

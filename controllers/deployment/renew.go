// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
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

// observeRenewal combines the remembered renewal attempts with the state of the token's Secret and
// the predecessor that its annotations record. Failures with a previous token are ignored.
func (r *Reconciler) observeRenewal(ctx context.Context, s *scope) (deployment.Renewal, error) {
	seen := s.memory.renewal
	if s.memory.renewalTokenID != s.memory.verified.Token.ID {
		seen = deployment.Renewal{}
	}
	if token := s.object.Spec.Token; token == nil || token.Renew == nil {
		return deployment.Renewal{}, nil
	}
	seen.Former = s.memory.formerToken
	meta := lookup.Metadata("Secret")
	if err := r.o.Client.Get(ctx, tokenKey(s.object), meta); err != nil {
		return seen, client.IgnoreNotFound(err)
	}
	after, err := time.Parse(time.RFC3339, meta.Annotations[v1alpha1.AnnotationRevokeAfter])
	id := meta.Annotations[v1alpha1.AnnotationPredecessor]
	if revoked := s.memory.revokedFormer && id == s.memory.formerToken; err == nil && !revoked {
		seen.Predecessor, seen.RevokeAfter = id, after
	}
	seen.Secret, err = r.observeTokenSecret(ctx, s, meta)
	return seen, err
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
	case err != nil && !isServerError(err):
		return err // the API server's, which the loop retries
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
	return nil // the condition TokenRenewed says it
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
	if err := r.tryStoreToken(ctx, s, resolved.Snapshot.Token, own.ID); err != nil {
		return err
	}
	m := minting.Operation{
		Conn: s.conn, UserID: user,
		Request: coder.TokenRequest{
			Name: r.o.Names.Token(uid, r.nextOwnSerial(s)), Lifetime: deployment.RenewLifetime(s.object, limit),
		},
		RequireUnpublished: func(ctx context.Context, lost coder.Token) error {
			_, err := r.tokenSecret(ctx, s, func(value redact.Secret) bool {
				id, _ := coder.TokenID(value)
				return id != lost.ID
			})
			return err
		},
		IsForeign: func(taken coder.Token) bool { return r.isTakenByOther(s, taken) },
	}
	value, token, err := m.Run(ctx)
	if err != nil {
		return err
	}
	if err := r.storeToken(ctx, s, resolved.Snapshot.Token, value, own.ID); err != nil {
		m.RevokeUnstored(ctx, token)
		return err
	}
	r.useToken(ctx, s, value)
	s.memory.verified.Token = r.describeToken(s, token)
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

// tryStoreToken tries the write of [Reconciler.storeToken] as a dry run, with the old token, so that
// no token is minted that cannot be stored (B110). It returns a conflict error if the Secret no
// longer holds the old token: it may have been replaced although the cache does not show it yet.
func (r *Reconciler) tryStoreToken(ctx context.Context, s *scope, old redact.Secret, oldID string) error {
	object, err := r.tokenSecret(ctx, s, old.Equal)
	if err != nil {
		return err
	}
	r.recordPredecessor(object, oldID)
	if err := r.o.Client.Update(ctx, object, client.DryRunAll); err != nil {
		return fmt.Errorf("try to write the operator's own token: %w", err)
	}
	return nil
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
	r.recordPredecessor(object, oldID)
	if err := r.o.Client.Update(ctx, object); err != nil {
		return fmt.Errorf("write the operator's own token: %w", err)
	}
	s.memory.formerToken, s.memory.revokedFormer = oldID, false
	s.memory.storedIn, s.memory.storedVersion = object.Name, object.ResourceVersion
	return nil
}

// recordPredecessor records in the annotations of the Secret which token is replaced, and when that
// is to be revoked.
func (r *Reconciler) recordPredecessor(object *corev1.Secret, id string) {
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	object.Annotations[v1alpha1.AnnotationPredecessor] = id
	revokeAfter := r.o.Clock.Now().Add(PredecessorOverlap).UTC()
	object.Annotations[v1alpha1.AnnotationRevokeAfter] = revokeAfter.Format(time.RFC3339)
}

// useToken makes one request with a renewed token that was stored, so that the server's list shows
// that it was in use. If the former token is put back, this tells it from a token that was never
// stored, whatever happened to annotations and to this process (B114).
func (r *Reconciler) useToken(ctx context.Context, s *scope, value redact.Secret) {
	_, err := s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
		_, err := resolved.Client.WithToken(value).Me(ctx)
		return err
	})
	if err != nil {
		ctrl.LoggerFrom(ctx).V(1).Info("the renewed token was not used yet", "problem", err.Error())
	}
}

// describeToken returns what is known of one of the operator's own tokens.
func (r *Reconciler) describeToken(s *scope, token coder.Token) deployment.OwnToken {
	serial, minted := r.o.Names.Serial(token.Name, string(s.object.UID))
	return deployment.OwnToken{
		ID: token.ID, Name: token.Name, CreatedAt: token.CreatedAt, ExpiresAt: token.ExpiresAt,
		LastUsedAt: token.LastUsed, Minted: minted, Serial: serial,
	}
}

// observeOwnTokens returns the tokens that the operator has minted for itself on this deployment, as
// last listed.
func (r *Reconciler) observeOwnTokens(s *scope) []deployment.OwnToken {
	var tokens []deployment.OwnToken
	for _, token := range s.conn.Inventory.WithPrefix(r.o.Names.SessionPrefix(string(s.object.UID))) {
		own := r.describeToken(s, token)
		if own.Minted && s.isOfOperatorUser(token) && !r.isForeign(s, token) {
			tokens = append(tokens, own)
		}
	}
	return tokens
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
	// Another writer may have put it back although the cache does not show it yet.
	object, err := r.tokenSecret(ctx, s, func(value redact.Secret) bool {
		id, _ := coder.TokenID(value)
		return id != renewal.Predecessor
	})
	if err != nil {
		return err
	}
	var foreign *coder.Token
	_, err = s.conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		foreign, err = r.deleteOwnToken(ctx, s, resolved.Client, renewal.Predecessor)
		return err
	})
	if err != nil && coder.KindOf(err) != coder.NotFound {
		return err
	}
	s.conn.Inventory.Remove(renewal.Predecessor)
	if object.Annotations[v1alpha1.AnnotationPredecessor] == renewal.Predecessor {
		delete(object.Annotations, v1alpha1.AnnotationPredecessor)
		delete(object.Annotations, v1alpha1.AnnotationRevokeAfter)
		if err := r.o.Client.Update(ctx, object); err != nil {
			return fmt.Errorf("note that the operator's former token is revoked: %w", err)
		}
	}
	s.memory.formerToken, s.memory.revokedFormer = renewal.Predecessor, true
	if foreign != nil {
		r.o.Status.Warn(s.object, v1alpha1.EventRevocationRefused, "Revoke",
			fmt.Sprintf("token %q of Secret %q was not revoked, because the operator did not mint it for this "+
				"CoderDeployment: delete it on the server if it is not needed", foreign.ID, object.Name))
		return nil
	}
	r.o.Metrics.Revoked(s.key.Namespace, s.key.Name)
	r.o.Status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRevoked, "Revoke",
		"revoked the operator's former token "+renewal.Predecessor)
	return nil
}

// deleteOwnToken deletes a token that the operator has minted for itself on this deployment. The ID
// comes from an annotation, which others can write: the token is looked up first, and returned as
// foreign instead of being deleted if its name or its user is another (B142).
func (r *Reconciler) deleteOwnToken(
	ctx context.Context, s *scope, c *coder.Client, id string,
) (foreign *coder.Token, err error) {
	user := s.memory.verified.User.ID
	token, err := c.Token(ctx, user, id)
	if err != nil {
		return nil, err
	}
	if !r.describeToken(s, token).Minted || token.UserID != user || token.ID != id {
		token.ID = id
		return &token, nil
	}
	return nil, c.DeleteToken(ctx, user, id)
}

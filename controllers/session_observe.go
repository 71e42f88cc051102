// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// observe collects the state of the session. In a steady state it reads from caches only.
func (r *SessionReconciler) observe(ctx context.Context, s *sessionScope) (session.Observation, error) {
	o := session.Observation{
		Now:                 r.clock.Now(),
		Session:             s.object,
		RevocationTimeout:   r.revocationTimeout,
		CredentialCheck:     s.memory.check,
		RefreshedForRequest: s.memory.refreshedForRequest,
		Retention:           r.retention.decisionFor(s.object.DeploymentKey(), s.object.UID),
		TargetUser:          s.target,
		Failure:             s.failure,
		RevokedTokens:       s.revoked,
		LostTokenSearched:   s.lostTokenSearched,
	}
	var err error
	if o.Deployment, err = r.observeDeployment(ctx, s); err != nil {
		return o, err
	}
	if s.conn != nil {
		o.Skew = s.conn.Skew()
		o.SpecDigest = session.SpecDigest(s.object.Spec.Auth.Mint, s.conn.VerificationStatus().DeploymentID)
	}
	o.Workspace = r.observeWorkspace(s, session.IsRetired(s.object, o.Retention))
	if o.SuppliedToken, err = r.observeSource(ctx, s); err != nil {
		return o, err
	}
	if o.Grant, err = r.observeGrant(ctx, s); err != nil {
		return o, err
	}
	if o.Secret, err = r.observeSecret(ctx, s, &o); err != nil {
		return o, err
	}
	o.ServerTokens = r.observeServerTokens(s, o.Secret.Token)
	o.Workloads, err = r.observeWorkloads(ctx, s, o.Secret.Credential)
	return o, err
}

func (r *SessionReconciler) observeDeployment(ctx context.Context, s *sessionScope) (session.Deployment, error) {
	if s.deployment == nil {
		return session.Deployment{}, nil
	}
	key := client.ObjectKeyFromObject(s.object)
	verified := s.conn.VerificationStatus()
	d := session.Deployment{
		Found:    true,
		Settling: s.conn.Settling() || r.debouncer.Settling(key),
		Problem:  verified.Problem,
		ID:       verified.DeploymentID,
		User:     verified.User,
		Interval: s.deployment.Spec.Verify.Interval.Or(deployment.DefaultInterval),
	}
	s.resolved = s.conn.ResolvedClient()
	if s.resolved != nil {
		d.Resolved = true
		d.Fingerprint = s.resolved.Snapshot.Fingerprint
		d.OwnToken = !s.resolved.Snapshot.Token.IsZero() && !s.resolved.Snapshot.Token.Empty()
		d.ByConnection = s.resolved.Snapshot.IdentifiesByConnection()
		if d.Fingerprint == verified.Fingerprint {
			d.Result = verified.Result
		}
	}
	namespace, err := r.readNamespace(ctx, s.object.Namespace, s.deployment.Namespace)
	if err != nil {
		return d, err
	}
	d.Denied = deployment.DenialReason(s.deployment, s.object, namespace)
	return d, nil
}

// readNamespace returns the session's namespace for the access rules. It reads its labels
// only if the session is in another namespace than its deployment.
func (r *SessionReconciler) readNamespace(ctx context.Context, name, home string) (deployment.Namespace, error) {
	ns := deployment.Namespace{Name: name, LabelsKnown: r.readsNamespaceLabels}
	if name == home || !r.readsNamespaceLabels {
		return ns, nil
	}
	object := metadataOf("Namespace")
	if err := r.client.Get(ctx, types.NamespacedName{Name: name}, object); err != nil {
		return ns, fmt.Errorf("read the labels of namespace %s: %w", name, err)
	}
	ns.Labels = object.Labels
	return ns, nil
}

// metadataOf returns an empty object with which the client reads metadata only.
func metadataOf(kind string) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return object
}

// observeSecret observes the generated Secret. It reads the metadata from the cache, and
// the contents only if the Secret was modified after the operator's last write.
func (r *SessionReconciler) observeSecret(
	ctx context.Context, s *sessionScope, o *session.Observation,
) (session.Secret, error) {
	meta := metadataOf("Secret")
	key := types.NamespacedName{Namespace: s.object.Namespace, Name: s.object.SecretName()}
	if err := r.client.Get(ctx, key, meta); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return session.Secret{}, fmt.Errorf("look at Secret %s: %w", key.Name, err)
		}
		meta = nil
	}
	s.prior = r.secrets.Observe(s.object, meta)
	if s.prior.Ownership != secret.Owned {
		// An orphaned Secret of a former session is adopted by the first write.
		seen := session.Secret{Foreign: s.prior.Ownership == secret.Foreign}
		if s.resolved != nil && !seen.Foreign && o.Session.DeletionTimestamp.IsZero() {
			o.TemplateError = r.templateError(s)
		}
		return seen, nil
	}
	seen := session.Secret{
		Exists:          true,
		Corrupt:         s.prior.Corrupt,
		ResourceVersion: s.prior.ResourceVersion,
		Fingerprint:     s.prior.Fingerprint,
	}
	if token := s.prior.Token; token != nil {
		seen.Token = &session.Published{
			ID: token.ID, Serial: token.Serial, ExpiresAt: token.ExpiresAt,
			SpecDigest: token.Request, Fingerprint: token.Fingerprint,
		}
	}
	if s.resolved == nil || !o.Session.DeletionTimestamp.IsZero() {
		return seen, nil
	}
	if o.TemplateError = r.templateError(s); o.TemplateError != "" {
		return seen, nil
	}
	err := r.compareSecret(ctx, s, &seen)
	return seen, err
}

// compareSecret determines whether the Secret has the desired contents. They are read only
// if the Secret was modified after the operator's last write.
func (r *SessionReconciler) compareSecret(ctx context.Context, s *sessionScope, seen *session.Secret) error {
	input := r.secretInput(s, publishedToken(s.prior.Token))
	defer func() {
		if seen.InSync {
			seen.Credential = secret.Credential(r.key, input)
		}
	}()
	asWritten := seen.Fingerprint == secret.Fingerprint(r.key, input) && s.prior.Ownership == secret.Owned
	reported := s.object.Status.Secret
	untouched := s.prior.Written || reported != nil && reported.ResourceVersion == seen.ResourceVersion
	if asWritten && untouched {
		seen.InSync = true
		return nil
	}
	if err := r.readPublishedValue(ctx, s, &input, seen); err != nil || seen.ValueGone || !asWritten {
		return err
	}
	inSync, resourceVersion, err := r.secrets.InSync(ctx, input)
	if err != nil {
		return fmt.Errorf("compare the generated Secret: %w", err)
	}
	if inSync {
		seen.InSync, seen.ResourceVersion = true, resourceVersion
	}
	return nil
}

// readPublishedValue reads the value of the published token from the Secret, if the Secret
// still contains it.
func (r *SessionReconciler) readPublishedValue(
	ctx context.Context, s *sessionScope, input *secret.Input, seen *session.Secret,
) error {
	if s.prior.Token == nil || s.prior.Token.ID == "" {
		return nil
	}
	value, found, err := r.secrets.Token(ctx, s.object, *s.prior.Token)
	if err != nil {
		return fmt.Errorf("read the token of the generated Secret: %w", err)
	}
	seen.ValueGone = !found
	input.Token.Value = value
	return nil
}

func publishedToken(meta *secret.TokenMeta) secret.Token {
	if meta == nil {
		return secret.Token{}
	}
	return secret.Token{ID: meta.ID, Serial: meta.Serial, ExpiresAt: meta.ExpiresAt, Request: meta.Request}
}

// placeholder is the token in a test rendering of the template.
var placeholder = secret.Token{ID: "0000000000", Value: redact.New("0000000000-0000000000000000000000")}

// templateError renders the template with a placeholder and returns the error message, so
// that no token is minted for a Secret that cannot be written.
func (r *SessionReconciler) templateError(s *sessionScope) string {
	if s.object.Spec.Secret == nil || len(s.object.Spec.Secret.Template) == 0 {
		return ""
	}
	input := r.secretInput(s, secret.Token{})
	if s.object.Spec.Auth.Certificate == nil {
		input.Token = placeholder
	}
	if _, err := secret.Render(r.key, input); err != nil {
		return err.Error()
	}
	return ""
}

// observeServerTokens returns the session's tokens from the deployment's inventory.
func (r *SessionReconciler) observeServerTokens(s *sessionScope, published *session.Published) session.ServerTokens {
	if s.conn == nil {
		return session.ServerTokens{}
	}
	var tokens session.ServerTokens
	if user := s.object.Status.User; user != nil {
		tokens.UserSuspended = s.conn.Inventory.Suspended(user.ID)
		tokens.Loaded = s.conn.Inventory.Loaded() && s.conn.VerificationStatus().CanSee(user.ID)
	}
	uid := string(s.object.UID)
	for _, token := range s.conn.Inventory.WithPrefix(r.names.SessionPrefix(uid)) {
		serial, ok := r.names.Serial(token.Name, uid)
		if !ok || slices.Contains(s.revoked, token.ID) {
			continue
		}
		listed := session.Listed{
			ID: token.ID, Name: token.Name, Serial: serial,
			CreatedAt: token.CreatedAt, LastUsedAt: token.LastUsed, Scopes: token.Scopes,
		}
		if published != nil && published.ID == token.ID {
			tokens.Token = &listed
			continue
		}
		tokens.Others = append(tokens.Others, listed)
	}
	return tokens
}

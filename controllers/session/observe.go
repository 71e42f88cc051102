// SPDX-License-Identifier: Apache-2.0

package session

import (
	"cmp"
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// observe reads the state of the session. In a steady state it reads from caches only. It changes
// nothing but the scope.
func (r *Reconciler) observe(ctx context.Context, s *Scope) (session.Observation, error) {
	o := session.Observation{
		Now:               r.tools.Clock.Now(),
		Session:           s.Session,
		RevocationTimeout: r.o.RevocationTimeout,
		CredentialCheck:   s.Memory.Check,
		Retention:         r.o.Retention.Of(s.Session.DeploymentKey(), s.Session.UID),
		RevokedTokens:     s.Revoked,
	}
	var err error
	if o.Deployment, err = r.observeDeployment(ctx, s); err != nil {
		return o, err
	}
	if !o.Deployment.Resolved && !s.Session.DeletionTimestamp.IsZero() {
		o.Deployment.Terminating = r.tools.isTerminating(ctx, s.Session.DeploymentKey().Namespace)
	}
	if s.Conn != nil {
		o.Skew = s.Conn.Skew()
	}
	method := r.methods.of(s.Session)
	s.Username = method.Username(s)
	o.Workspace = r.observeWorkspace(s, session.IsRetired(s.Session, o.Retention))
	if o.Secret, err = r.observeSecret(ctx, s, &o); err != nil {
		return o, err
	}
	for _, each := range r.methods.sorted() {
		if err := each.Observe(ctx, s, &o); err != nil {
			return o, err
		}
	}
	if o.Pods, err = r.observePods(ctx, s.Session); err != nil {
		return o, err
	}
	o.Workloads, err = r.observeWorkloads(ctx, s, o.Secret.Credential)
	return o, err
}

func (r *Reconciler) observeDeployment(ctx context.Context, s *Scope) (session.Deployment, error) {
	s.Deployment, s.Conn, s.Resolved = nil, nil, nil
	found := &v1alpha1.CoderDeployment{}
	if err := r.tools.Client.Get(ctx, s.Session.DeploymentKey(), found); err != nil {
		return session.Deployment{}, client.IgnoreNotFound(err)
	}
	s.Deployment, s.Conn = found, r.o.Pool.Get(s.Session.DeploymentKey())
	key := client.ObjectKeyFromObject(s.Session)
	verified := s.Conn.VerificationStatus()
	d := session.Deployment{
		Found:    true,
		Settling: s.Conn.Settling() || r.o.Debouncer.Settling(key),
		Problem:  verified.Problem,
		ID:       verified.DeploymentID,
		User:     verified.User,

		SeesAllUsers: verified.SeesAllUsers,
		Interval:     s.Deployment.Spec.Verify.Interval.Or(deployment.DefaultInterval),

		IgnoresOAuthScopes: verified.LegacyOAuth,
	}
	if ready := meta.FindStatusCondition(found.Status.Conditions, v1alpha1.ConditionReady); ready != nil &&
		ready.Status != metav1.ConditionTrue {
		d.NotReadySince = ready.LastTransitionTime.Time
	}
	s.Resolved = s.Conn.ResolvedClient()
	if s.Resolved != nil {
		d.Resolved = true
		d.Fingerprint = s.Resolved.Snapshot.Fingerprint
		d.OwnToken = !s.Resolved.Snapshot.Token.IsZero() && !s.Resolved.Snapshot.Token.Empty()
		d.ByConnection = s.Resolved.Snapshot.IdentifiesByConnection()
		d.HasCertificates = s.Resolved.Snapshot.Certificate != nil || len(s.Resolved.Snapshot.CABundlePEM) > 0
		if d.Fingerprint == verified.Fingerprint {
			d.Result = verified.Result
		}
	}
	namespace, err := r.tools.Namespace(ctx, s.Session.Namespace, s.Deployment.Namespace)
	if err != nil {
		return d, err
	}
	server := deployment.Server{IgnoresOAuthScopes: verified.LegacyOAuth}
	d.Denied = deployment.DenialReason(s.Deployment, s.Session, namespace, server)
	d.OwnWorkspaceOnly = deployment.OwnWorkspaceOnly(s.Deployment, s.Session, namespace, server)
	return d, nil
}

// observeSecret observes the generated Secret. It reads the metadata from the cache, and
// the contents only if the Secret was modified after the operator's last write.
func (r *Reconciler) observeSecret(
	ctx context.Context, s *Scope, o *session.Observation,
) (session.Secret, error) {
	found := lookup.Metadata("Secret")
	key := types.NamespacedName{Namespace: s.Session.Namespace, Name: s.Session.SecretName()}
	if err := r.tools.Client.Get(ctx, key, found); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return session.Secret{}, fmt.Errorf("look at Secret %s: %w", key.Name, err)
		}
		found = nil
	}
	s.Prior = r.tools.Secrets.Observe(s.Session, found)
	unseen := r.observeUnseen(ctx, s, found)
	if s.Prior.Ownership != secret.Owned && !isRestored(s.Prior, s.Session) {
		return r.observeNoSecret(ctx, s, o), nil
	}
	seen := session.Secret{
		Exists:          true,
		Corrupt:         s.Prior.Corrupt,
		ResourceVersion: s.Prior.ResourceVersion,
		Fingerprint:     s.Prior.Fingerprint,
		Unproven:        r.tools.isUnproven(ctx, s, true),
		Unseen:          unseen,
	}
	if token := s.Prior.Token; token != nil {
		seen.Token = publishedOf(token)
	}
	if s.Resolved == nil || !o.Session.DeletionTimestamp.IsZero() {
		return seen, nil
	}
	if !r.checkContents(s, o) {
		return seen, nil
	}
	err := r.compareSecret(ctx, s, &seen)
	seen.Contention = s.Memory.contention
	return seen, err
}

// observeUnseen finds out whether a Secret that was written is there, if the cache does not show it for long. It may
// have been deleted before the write was remembered, so that no event tells of it any more. It returns true if the
// cache has more time, and there is no other pass for certain.
func (r *Reconciler) observeUnseen(ctx context.Context, s *Scope, found *metav1.PartialObjectMetadata) bool {
	if found != nil || !s.Prior.Written || s.SecretWritten {
		return false
	}
	if r.tools.Clock.Since(s.Memory.writtenAt) < session.UnseenPatience {
		return true
	}
	if err := r.tools.Secrets.Refresh(ctx, s.Session); err != nil {
		ctrl.LoggerFrom(ctx).V(1).Info("the Secret could not be looked for", "problem", err.Error())
		return true
	}
	s.Prior = r.tools.Secrets.Observe(s.Session, nil)
	return false
}

// observeNoSecret describes that the session has no Secret: there is none, it is a foreign one, or one of
// a former session, which the first write adopts.
func (r *Reconciler) observeNoSecret(ctx context.Context, s *Scope, o *session.Observation) session.Secret {
	seen := session.Secret{
		Foreign: s.Prior.Ownership == secret.Foreign, Unproven: r.tools.isUnproven(ctx, s, false),
		Deleted:    s.Prior.Ownership == secret.Absent && s.Memory.published,
		Contention: s.Memory.contention,
	}
	if s.Resolved != nil && !seen.Foreign && o.Session.DeletionTimestamp.IsZero() {
		r.checkContents(s, o)
	}
	return seen
}

// isRestored reports whether a Secret that lost its owner still holds the session's own credential,
// which is kept then. The one of a former session is replaced, because its token belongs to that. One
// that the deletion of the session has retained is not the session's any more.
func isRestored(prior secret.State, s *v1alpha1.CoderSession) bool {
	published := s.Status.Token
	return prior.Ownership == secret.Adoptable && !prior.Retained &&
		published != nil && prior.Token != nil && prior.Token.ID == published.ID
}

// compareSecret determines whether the Secret has the desired contents. They are read only
// if the Secret was modified after the operator's last write.
func (r *Reconciler) compareSecret(ctx context.Context, s *Scope, seen *session.Secret) error {
	input, reported := r.tools.SecretInput(s, PublishedToken(s.Prior.Token)), s.Session.Status.Secret
	untouched := s.Prior.Written || reported != nil && reported.ResourceVersion == seen.ResourceVersion
	if untouched && r.isAsWritten(s, input) {
		seen.InSync = true
	} else if err := r.compareContents(ctx, s, &input, seen); err != nil {
		return err
	}
	if seen.InSync {
		seen.Credential = cmp.Or(s.Prior.Credential, secret.Credential(r.tools.Key, input))
	}
	return nil
}

// isAsWritten reports whether the annotations say that the Secret was written from the input.
func (r *Reconciler) isAsWritten(s *Scope, input secret.Input) bool {
	return s.Prior.Ownership == secret.Owned && s.Prior.Fingerprint == secret.Fingerprint(r.tools.Key, input)
}

// compareContents compares the contents of a Secret that was modified, and finds out by whom. The
// input gets the token that the Secret publishes.
func (r *Reconciler) compareContents(
	ctx context.Context, s *Scope, input *secret.Input, seen *session.Secret,
) error {
	if err := r.readPublishedValue(ctx, s, input, seen); err != nil {
		return err
	}
	wanted, reported := secret.Fingerprint(r.tools.Key, *input), s.Session.Status.Secret
	seen.PutBack = isPutBack(s)
	seen.Modified = seen.Fingerprint == wanted || s.hasOtherToken(seen) ||
		reported != nil && session.ShortFingerprint(reported.Fingerprint) == session.ShortFingerprint(wanted)
	if !seen.Modified && !seen.PutBack {
		return nil // the operator's own change
	}
	compared, err := r.tools.Secrets.Compare(ctx, *input)
	if err != nil {
		return fmt.Errorf("compare the generated Secret: %w", err)
	}
	s.OtherWriter = compared.Writer
	if compared.InSync && r.isAsWritten(s, *input) {
		seen.InSync, seen.Modified, seen.ResourceVersion = true, false, compared.ResourceVersion
	}
	return nil
}

// hasOtherToken reports whether the Secret holds another value than its annotations describe, although
// this process has written it before: another writer has done that.
func (s *Scope) hasOtherToken(seen *session.Secret) bool {
	return s.Memory.written.ID != "" && (seen.ValueGone || seen.Unconfirmed)
}

// isPutBack reports whether the Secret publishes an earlier token than the last one that was written.
func isPutBack(s *Scope) bool {
	last, published := s.Memory.written.Serial, s.Prior.Token
	if current := s.Session.Status.Token; current != nil {
		last = max(last, current.Serial)
	}
	return published != nil && published.Serial > 0 && published.Serial < last
}

// readPublishedValue reads the value of the published token from the Secret, if the Secret
// still contains it.
func (r *Reconciler) readPublishedValue(
	ctx context.Context, s *Scope, input *secret.Input, seen *session.Secret,
) error {
	if s.Prior.Token == nil || s.Prior.Token.ID == "" {
		return r.recognizeToken(ctx, s, input, seen)
	}
	s.correctDescription(input, seen)
	value, found, err := r.tools.Secrets.Token(ctx, s.Session, *s.Prior.Token)
	if err != nil {
		return fmt.Errorf("read the token of the generated Secret: %w", err)
	}
	if !found || !r.isDescribed(s, value) {
		seen.ValueGone = true
		return r.recognizeToken(ctx, s, input, seen)
	}
	input.Token.Value = value
	return nil
}

// PublishedToken returns a published token without its value; nil: no token.
func PublishedToken(meta *secret.TokenMeta) secret.Token {
	if meta == nil {
		return secret.Token{}
	}
	return secret.Token{ID: meta.ID, Serial: meta.Serial, ExpiresAt: meta.ExpiresAt, Request: meta.Request}
}

// placeholder is the token in a test rendering of the template.
var placeholder = secret.Token{ID: "0000000000", Value: redact.New("0000000000-0000000000000000000000")}

// checkContents checks the size of the Secret, and renders its templates, with a placeholder for the
// token, so that no token is minted for a Secret that cannot be written. It returns false if there is
// something wrong.
func (r *Reconciler) checkContents(s *Scope, o *session.Observation) bool {
	input := r.tools.SecretInput(s, secret.Token{})
	if r.methods.of(s.Session).SendsToken() {
		input.Token = placeholder
	}
	if o.SizeProblem = secret.SizeProblem(input); o.SizeProblem != "" {
		return false
	}
	if s.Session.Spec.Secret == nil || len(s.Session.Spec.Secret.Template) == 0 {
		return true
	}
	if _, err := secret.Render(r.tools.Key, input); err != nil {
		o.TemplateError = err.Error()
	} else if known := s.Memory.templateFailure; known.message != "" && known.inputs == s.templateInputs() {
		o.TemplateError = known.message
	}
	return o.TemplateError == ""
}

// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// SecretInput returns the input for rendering the Secret with the given token.
func (t *Tools) SecretInput(s *Scope, token secret.Token) secret.Input {
	snapshot := s.Resolved.Snapshot
	in := secret.Input{Session: s.Session, URL: snapshot.URL, Token: token, User: s.Username}
	for _, h := range snapshot.Headers {
		in.Headers = append(in.Headers, secret.Header{Name: h.Name, Value: h.Value})
	}
	if spec := s.Session.Spec.Secret; spec != nil && spec.IncludeClientCertificate {
		in.CA = snapshot.CABundlePEM
		if certificate := snapshot.Certificate; certificate != nil {
			in.Certificate, in.CertificateKey = certificate.CertPEM, certificate.Key
		}
	}
	return in
}

// publishSecret writes the Secret with a credential that is known to be valid: the supplied
// token or the access token that the server has just accepted, the minted token that the
// Secret still contains, or none.
func (r *Reconciler) publishSecret(ctx context.Context, s *Scope, o session.Observation, _ session.Plan) error {
	token, err := r.methods.of(s.Session).TokenToPublish(ctx, s, o)
	if err != nil {
		return err
	}
	ctx, cancel := reconcile.WithoutCancel(ctx)
	defer cancel()
	if err := r.tools.WriteSecret(ctx, s, token); err != nil {
		return err
	}
	if !o.Secret.Modified && !o.Secret.Deleted {
		return nil
	}
	if s.RecordRestoration(o); s.Memory.contention.Count == 1 { // SecretSynced tells of further ones
		change := "modified"
		if o.Secret.Deleted {
			change = "deleted"
		}
		r.tools.Status.Event(s.Session, corev1.EventTypeNormal, v1alpha1.EventRestored, "Publish",
			fmt.Sprintf("restored Secret %q, which was %s outside of the operator", s.Session.SecretName(), change))
	}
	return nil
}

// RecordRestoration remembers that the Secret was restored, so that another writer who changes it again
// and again does not make the operator do so without end.
func (s *Scope) RecordRestoration(o session.Observation) {
	s.Memory.contention = s.Memory.contention.Restored(o.Now, s.OtherWriter, o.Deployment.VerifyInterval())
	s.Memory.contention.Deletes = o.Secret.Deleted
}

// recordRemoval remembers that the operator itself has removed the Secret, unless that failed.
func (s *Scope) recordRemoval(err error) error {
	if err == nil {
		s.Memory.published = false
		s.SecretRemoved = s.Session.DeletionTimestamp != nil
	}
	return err
}

// WriteSecret writes the Secret in one request, which fails with a conflict if the Secret
// was modified since it was observed.
func (t *Tools) WriteSecret(ctx context.Context, s *Scope, token secret.Token) error {
	action := "update"
	if s.Prior.Ownership == secret.Absent {
		action = "create"
	}
	_, err := t.Secrets.Write(ctx, t.SecretInput(s, token), s.Prior)
	if template := (*secret.TemplateError)(nil); errors.As(err, &template) {
		s.Memory.templateFailure = templateFailure{s.templateInputs(), template.Error()}
	}
	var altered *secret.AlteredError
	if err == nil || errors.As(err, &altered) && altered.TokenStored {
		s.Memory.written = secret.TokenMeta{
			ID: token.ID, Serial: token.Serial, ExpiresAt: token.ExpiresAt, Request: token.Request,
		}
		if token.Value.Reveal() != "" {
			s.Memory.written.Fingerprint = secret.TokenFingerprint(t.Key, token.Value)
		}
		s.Memory.published, s.Memory.writtenAt, s.SecretWritten = true, t.Clock.Now(), true
	}
	if t.recordWrite(s, neverTried, err) != nil {
		return fmt.Errorf("write Secret %s: %w", s.Session.SecretName(), err)
	}
	t.Metrics.SecretWritten(action)
	if action == "create" && t.ServesPods {
		t.recordPodDelay(ctx, s.Session)
	}
	return nil
}

// tryPublish asks the API server whether it would take the Secret with a token, so that no token is
// minted that cannot be published (B110). The answer to another session of its group, which has come since
// the observation, may be enough.
func (r *Reconciler) tryPublish(ctx context.Context, s *Scope, o session.Observation, _ session.Plan) error {
	if !r.tools.isUnproven(ctx, s, o.Secret.Exists) {
		return nil
	}
	return r.tools.recordWrite(s, accepted, r.tools.Secrets.TryWrite(ctx, r.tools.SecretInput(s, placeholder), s.Prior))
}

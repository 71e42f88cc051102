// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// secretInput returns the input for rendering the Secret with the given token.
func (r *SessionReconciler) secretInput(s *sessionScope, token secret.Token) secret.Input {
	snapshot := s.resolved.Snapshot
	in := secret.Input{Session: s.object, URL: snapshot.URL, Token: token, User: s.publishedUsername()}
	for _, h := range snapshot.Headers {
		in.Headers = append(in.Headers, secret.Header{Name: h.Name, Value: h.Value})
	}
	if spec := s.object.Spec.Secret; spec != nil && spec.IncludeClientCertificate {
		in.CA = snapshot.CABundlePEM
		if certificate := snapshot.Certificate; certificate != nil {
			in.Certificate, in.CertificateKey = certificate.CertPEM, certificate.Key
		}
	}
	return in
}

// publishedUsername returns the name of the user whose credential is published; empty if
// unknown.
func (s *sessionScope) publishedUsername() string {
	switch {
	case s.object.Spec.Auth.Mint != nil:
		return s.object.Spec.Auth.Mint.User
	case s.memory.check.User != nil:
		return s.memory.check.User.Username
	case s.object.Spec.Auth.Certificate != nil && s.conn.VerificationStatus().User != nil:
		return s.conn.VerificationStatus().User.Username
	case s.object.Status.User != nil:
		return s.object.Status.User.Username
	}
	return ""
}

// publishSecret writes the Secret with a credential that is known to be valid: the supplied
// token or the access token that the server has just accepted, the minted token that the
// Secret still contains, or none.
func (r *SessionReconciler) publishSecret(ctx context.Context, s *sessionScope, o session.Observation) error {
	token, err := r.tokenToPublish(ctx, s, o)
	if err != nil {
		return err
	}
	restored := o.Secret.Token != nil && o.Secret.Token.ID == token.ID &&
		o.Secret.Fingerprint == secret.Fingerprint(r.key, r.secretInput(s, token))
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	if err := r.writeSecret(ctx, s, token); err != nil {
		return err
	}
	if restored {
		r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRestored, "Publish",
			fmt.Sprintf("restored Secret %q, which was modified outside of the operator", s.object.SecretName()))
	}
	return nil
}

func (r *SessionReconciler) tokenToPublish(
	ctx context.Context, s *sessionScope, o session.Observation,
) (secret.Token, error) {
	switch {
	case s.object.Spec.Auth.Mint != nil:
		token := publishedToken(s.prior.Token)
		value, found, err := r.secrets.Token(ctx, s.object, *s.prior.Token)
		if err != nil {
			return token, fmt.Errorf("read the published token: %w", err)
		}
		if !found {
			return token, newSessionConflict(s, "its token is gone")
		}
		token.Value = value
		return token, nil
	case s.object.Spec.Auth.OAuth != nil:
		state, _, err := r.grants.Read(ctx, s.object)
		if err != nil {
			return secret.Token{}, err
		}
		held := state.Grant
		if held == nil || secret.TokenFingerprint(r.key, held.AccessToken) != s.memory.check.Credential {
			return secret.Token{}, newSessionConflict(s, "its grant has changed")
		}
		return secret.Token{Value: held.AccessToken, ID: held.KeyID, Serial: lastSerial(s), ExpiresAt: held.ExpiresAt}, nil
	case s.object.Spec.Auth.Token != nil && !o.SuppliedToken.Empty:
		source, value, _, err := r.readSource(ctx, s)
		if err != nil {
			return secret.Token{}, err
		}
		if source.Fingerprint != s.memory.check.Credential {
			s.memory.source = sourceMemory{}
			return secret.Token{}, newSessionConflict(s, "the supplied token has changed")
		}
		return secret.Token{Value: value, ID: source.ID, Serial: lastSerial(s), ExpiresAt: s.memory.check.ExpiresAt}, nil
	}
	return secret.Token{Serial: lastSerial(s)}, nil
}

// lastSerial returns the serial of the last published token. It is kept when a session that
// used to mint publishes another kind of credential.
func lastSerial(s *sessionScope) int64 {
	if s.prior.Token != nil {
		return s.prior.Token.Serial
	}
	if s.object.Status.Token != nil {
		return s.object.Status.Token.Serial
	}
	return 0
}

// writeSecret writes the Secret in one request, which fails with a conflict if the Secret
// was modified since it was observed.
func (r *SessionReconciler) writeSecret(ctx context.Context, s *sessionScope, token secret.Token) error {
	action := "update"
	if s.prior.Ownership == secret.Absent {
		action = "create"
	}
	if _, err := r.secrets.Write(ctx, r.secretInput(s, token), s.prior); err != nil {
		return fmt.Errorf("write Secret %s: %w", s.object.SecretName(), err)
	}
	r.metrics.SecretWritten(action)
	return nil
}

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

// input is what the Secret is written from, with this token.
func (r *SessionReconciler) input(s *sessionScope, token secret.Token) secret.Input {
	snapshot := s.line.Snapshot
	in := secret.Input{Session: s.object, URL: snapshot.URL, Token: token, User: s.username()}
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

// username is whose credential is published.
func (s *sessionScope) username() string {
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

// publish writes the Secret from a credential that is known to be good: the
// supplied token that was just accepted, the minted one that the Secret still
// holds, or none.
func (r *SessionReconciler) publish(ctx context.Context, s *sessionScope, o session.Observation) error {
	token, err := r.publishable(ctx, s, o)
	if err != nil {
		return err
	}
	restored := o.Secret.Token != nil && o.Secret.Token.ID == token.ID && o.Secret.Fingerprint == secret.Fingerprint(r.key, r.input(s, token))
	ctx, cancel := withoutCancel(ctx)
	defer cancel()
	if err := r.write(ctx, s, token); err != nil {
		return err
	}
	if restored {
		r.status.Event(s.object, corev1.EventTypeNormal, v1alpha1.EventRestored, "Publish",
			fmt.Sprintf("Secret %q was edited by somebody else and is restored", s.object.SecretName()))
	}
	return nil
}

func (r *SessionReconciler) publishable(ctx context.Context, s *sessionScope, o session.Observation) (secret.Token, error) {
	switch {
	case s.object.Spec.Auth.Mint != nil:
		token := publishedToken(s.prior.Token)
		value, found, err := r.secrets.Token(ctx, s.object, *s.prior.Token)
		if err != nil {
			return token, fmt.Errorf("read the published token: %w", err)
		}
		if !found {
			return token, errMoved(s, "its token is gone")
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
			return secret.Token{}, errMoved(s, "its grant has changed")
		}
		return secret.Token{Value: held.AccessToken, ID: held.KeyID, Serial: lastSerial(s), ExpiresAt: held.ExpiresAt}, nil
	case s.object.Spec.Auth.Token != nil && !o.SuppliedToken.Empty:
		source, value, _, err := r.readSource(ctx, s)
		if err != nil {
			return secret.Token{}, err
		}
		if source.Fingerprint != s.memory.check.Credential {
			s.memory.source = sourceMemory{}
			return secret.Token{}, errMoved(s, "the supplied token has changed")
		}
		return secret.Token{Value: value, ID: source.ID, Serial: lastSerial(s), ExpiresAt: s.memory.check.ExpiresAt}, nil
	}
	return secret.Token{Serial: lastSerial(s)}, nil
}

// lastSerial goes on counting where a session that minted once now publishes
// something else.
func lastSerial(s *sessionScope) int64 {
	if s.prior.Token != nil {
		return s.prior.Token.Serial
	}
	if s.object.Status.Token != nil {
		return s.object.Status.Token.Serial
	}
	return 0
}

// write writes the Secret in one request, on the condition that it is still what
// was observed.
func (r *SessionReconciler) write(ctx context.Context, s *sessionScope, token secret.Token) error {
	action := "update"
	if s.prior.Ownership == secret.Absent {
		action = "create"
	}
	if _, err := r.secrets.Write(ctx, r.input(s, token), s.prior); err != nil {
		return fmt.Errorf("write Secret %s: %w", s.object.SecretName(), err)
	}
	r.metrics.SecretWritten(action)
	return nil
}

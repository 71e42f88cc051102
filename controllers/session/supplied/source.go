// SPDX-License-Identifier: Apache-2.0

package supplied

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/internal/tokenformat"
)

// memory is the supplied token as it was last read, with the resource version of its Secret. It does
// not contain the value of the token.
type memory struct {
	version string
	source  session.SuppliedToken
}

// observeSource observes the supplied token. Its Secret is read again only if its resource
// version has changed.
func (m *Method) observeSource(ctx context.Context, s *base.Scope) (session.SuppliedToken, error) {
	if s.Session.Spec.Auth.Token == nil {
		return session.SuppliedToken{}, nil
	}
	if problem, err := m.refuseOperatorToken(ctx, s); err != nil || problem != "" {
		return session.SuppliedToken{Problem: problem}, err
	}
	meta := lookup.Metadata("Secret")
	err := m.tools.Client.Get(ctx, m.sourceKey(s), meta)
	if client.IgnoreNotFound(err) != nil {
		return session.SuppliedToken{}, fmt.Errorf("look at the Secret of the supplied token: %w", err)
	}
	if known := memoryOf(s); err == nil && known.version == meta.ResourceVersion {
		return known.source, nil
	}
	source, _, version, err := m.readSource(ctx, s)
	if err != nil {
		return source, err
	}
	*memoryOf(s) = memory{version: version, source: source}
	return source, nil
}

// refuseOperatorToken returns a problem if the Secret is that of a CoderDeployment's own token, which
// is not published (B132).
func (m *Method) refuseOperatorToken(ctx context.Context, s *base.Scope) (string, error) {
	key := m.sourceKey(s)
	reference := authconfig.Reference{Kind: authconfig.KindSecret, Namespace: key.Namespace, Name: key.Name}
	deployments, err := lookup.DeploymentsByReference(ctx, m.tools.Client, reference)
	if err != nil {
		return "", err
	}
	for i := range deployments {
		if token := deployments[i].Spec.Token; token != nil && string(token.SecretRef.Name) == key.Name {
			return fmt.Sprintf("Secret %q has the own token of CoderDeployment %q: name a Secret with a token of the session's",
				key.Name, deployments[i].Name), nil
		}
	}
	return "", nil
}

func (m *Method) sourceKey(s *base.Scope) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Session.Namespace, Name: string(s.Session.Spec.Auth.Token.SecretRef.Name)}
}

// readSource reads the supplied token from the API server. It returns the token's
// description, its value, and the resource version of its Secret.
func (m *Method) readSource(
	ctx context.Context, s *base.Scope,
) (session.SuppliedToken, redact.Secret, string, error) {
	ref := s.Session.Spec.Auth.Token.SecretRef
	keyName := ref.DataKey()
	object := &corev1.Secret{}
	if err := m.tools.APIReader.Get(ctx, m.sourceKey(s), object); err != nil {
		if apierrors.IsNotFound(err) {
			problem := fmt.Sprintf("Secret %q does not exist: create it with the token under key %q", ref.Name, keyName)
			return session.SuppliedToken{Problem: problem, Missing: true}, redact.Secret{}, "", nil
		}
		return session.SuppliedToken{}, redact.Secret{}, "", fmt.Errorf("read the supplied token: %w", err)
	}
	if v1alpha1.IsGenerated(object) { // B132
		problem := fmt.Sprintf("Secret %q is what the operator wrote for a CoderSession: name a Secret of your own", ref.Name)
		return session.SuppliedToken{Problem: problem}, redact.Secret{}, object.ResourceVersion, nil
	}
	data, ok := object.Data[keyName]
	if !ok {
		problem := fmt.Sprintf("Secret %q has no key %q: write the token there", ref.Name, keyName)
		return session.SuppliedToken{Problem: problem, Missing: true}, redact.Secret{}, object.ResourceVersion, nil
	}
	value, err := tokenformat.Parse(data)
	if err != nil {
		problem := fmt.Sprintf("Secret %q, key %q: %v", ref.Name, keyName, err)
		return session.SuppliedToken{Problem: problem}, redact.Secret{}, object.ResourceVersion, nil
	}
	if value.Empty() {
		return session.SuppliedToken{Empty: true}, value, object.ResourceVersion, nil
	}
	id, _ := tokenformat.ID(value)
	supplied := session.SuppliedToken{ID: id, Fingerprint: secret.TokenFingerprint(m.tools.Key, value)}
	return supplied, value, object.ResourceVersion, nil
}

// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/internal/status"
)

// Method is one way to get a credential. Its methods are called by one pass per session at a time.
type Method interface {
	// NewMemory returns what the method remembers of a session between passes, see [Memory.Of]; nil:
	// nothing.
	NewMemory() any
	// Observe adds the method's facts to the observation. It is called for every session, because a
	// session that uses another method may have something left of this one.
	Observe(ctx context.Context, s *Scope, o *session.Observation) error
	// Actions returns the actions that only this method needs.
	Actions() map[session.Action]Action
	// Credential returns what the server is asked with whom the credential belongs to.
	Credential(ctx context.Context, s *Scope, o session.Observation) (Credential, error)
	// TokenToPublish returns the token that the generated Secret is to hold.
	TokenToPublish(ctx context.Context, s *Scope, o session.Observation) (secret.Token, error)
	// SendsToken reports whether readers of the generated Secret find a token in it.
	SendsToken() bool
	// Username returns the name of the user whose credential is published; empty: unknown.
	Username(s *Scope) string
}

// Credential is the credential that a session checks and publishes, as the caller of a request.
type Credential interface {
	connection.Caller
	// Fingerprint is that of the token that was last sent; empty: none was.
	Fingerprint() string
	// Describe adds to the check what the server says about the token. It is called when the server
	// has accepted it.
	Describe(ctx context.Context, c *coder.Client, check *session.CredentialCheck)
}

// FixedToken is a credential that cannot change between two requests, or none if the connection
// identifies the caller.
type FixedToken struct {
	Value redact.Secret
	// Key is the HMAC key of the fingerprint. It is not needed without a value.
	Key fingerprint.Key
}

// Token returns the token to call with.
func (c FixedToken) Token() redact.Secret { return c.Value }

// Refresh always returns false.
func (FixedToken) Refresh(context.Context) (bool, error) { return false, nil }

// Fingerprint is that of the token; empty: there is none.
func (c FixedToken) Fingerprint() string {
	if c.Value.IsZero() {
		return ""
	}
	return secret.TokenFingerprint(c.Key, c.Value)
}

// Describe adds nothing.
func (FixedToken) Describe(context.Context, *coder.Client, *session.CredentialCheck) {}

// Action carries out the action of a plan.
type Action func(ctx context.Context, s *Scope, o session.Observation, plan session.Plan) error

// Tools are what the actions of all methods work with.
type Tools struct {
	// Client reads from caches, APIReader from the API server.
	Client    client.Client
	APIReader client.Reader
	Secrets   *secret.Store
	// Key is the HMAC key of all fingerprints.
	Key     fingerprint.Key
	Names   inventory.Names
	Status  *status.Writer
	Metrics *metrics.Metrics
	Clock   clock.PassiveClock
	// Siblings are the sessions of pods that this process has created.
	Siblings *Siblings
	// Writes is how the API server has answered writes of generated Secrets.
	Writes *SecretWrites
	// PodRefusals is why the API server takes no sessions of pods.
	PodRefusals *PodRefusals
	// ServesPods reports whether the operator gives pods sessions of their own.
	ServesPods bool
	// NamespaceLabels reports whether the operator may read labels of namespaces.
	NamespaceLabels bool
	// AdmissionKinds are the kinds of objects that configure the API server's admission, which are watched
	// together with ResourceQuotas. Nil: neither is.
	AdmissionKinds []schema.GroupVersionKind
}

// Methods are the auth methods by their name.
type Methods map[v1alpha1.AuthMethod]Method

// of returns the method of a session.
func (m Methods) of(s *v1alpha1.CoderSession) Method { return m[s.Spec.Auth.Method()] }

// sorted returns the methods in a fixed order.
func (m Methods) sorted() []Method {
	sorted := make([]Method, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		sorted = append(sorted, m[name])
	}
	return sorted
}

// Namespace returns the session's namespace for the access rules.
func (t *Tools) Namespace(ctx context.Context, name, home string) (deployment.Namespace, error) {
	return lookup.Namespace(ctx, t.Client, name, home, t.NamespaceLabels)
}

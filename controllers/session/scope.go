// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// Scope is the state of one pass over one session.
type Scope struct {
	// Session is set at the start and updated by writes.
	Session *v1alpha1.CoderSession
	Memory  *Memory

	// Deployment, its connection and its client are set by each observation. Conn is nil if the
	// deployment does not exist, Resolved if its settings have not been read yet.
	Deployment *v1alpha1.CoderDeployment
	Conn       *connection.Connection
	Resolved   *connection.ResolvedClient
	// Prior is the generated Secret as it was observed.
	Prior secret.State

	// OtherWriter is the field manager of another writer of the generated Secret; empty: unknown.
	OtherWriter string

	// Username is the user whose credential is published; empty: unknown.
	Username string
	// SecretWritten is true if this pass has written the Secret.
	SecretWritten bool
	// SecretRemoved is true if this pass has deleted the Secret of a session that is being deleted: no
	// other one is written.
	SecretRemoved bool
	// Revoked are the ids of tokens that were revoked in this pass.
	Revoked []string
	// CredentialEventSent is set when this pass has recorded an event about a new credential; the
	// transition to Active then needs no event of its own.
	CredentialEventSent bool
}

// Memory is what is remembered of a session between passes. It may be lost at any time: the cost is
// one more request. What must not be lost is in the memory of the method that holds it, and says so.
type Memory struct {
	// Check is the server's last answer to the session's own credential.
	Check session.CredentialCheck
	// lastWrite is how the last write of the generated Secret ended, including those that were only
	// tried.
	lastWrite writeOutcome
	// written is the last token that was written, without its value.
	written secret.TokenMeta
	// writtenAt is when the generated Secret was written last.
	writtenAt time.Time
	// published is true from a write of the generated Secret until the operator itself removes it.
	published bool
	// NothingMinted is set as long as it is certain that no token was minted for the session: this
	// process has added its finalizer, without which none is minted, and has sent no request for one.
	NothingMinted bool
	// templateFailure is why the Secret's templates could not be rendered with a real token.
	templateFailure templateFailure
	// contention is about another writer of the generated Secret.
	contention session.Contention

	workspace workspaceMemory
	byMethod  map[v1alpha1.AuthMethod]any
}

// Of returns the memory of a method, as its NewMemory returned it.
func (m *Memory) Of(method v1alpha1.AuthMethod) any { return m.byMethod[method] }

// writeOutcome is how a write of the generated Secret ended.
type writeOutcome int

const (
	// neverTried also follows a write that was done: if the Secret is deleted, a quota or a policy may
	// keep it from being created again.
	neverTried writeOutcome = iota
	// accepted means that the API server would write the Secret.
	accepted
	refused
)

// templateFailure is a failure of the Secret's templates that only a real token has shown. No further
// token is minted for them until what they are rendered from has changed (B144).
type templateFailure struct{ inputs, message string }

// templateInputs identifies what the templates are rendered from, the token excepted, and the request of
// a person to try again.
func (s *Scope) templateInputs() string {
	return fmt.Sprint(s.Session.Generation, s.Resolved.Snapshot.Fingerprint, s.Username, s.Session.RenewalRequest())
}

// workspaceMemory is the workspace as it was last read.
type workspaceMemory struct {
	// of is the reference that was resolved, on the deployment with this id, at this time.
	of         v1alpha1.WorkspaceRef
	deployment string
	at         time.Time
	missing    bool
	workspace  coder.Workspace
	// connected reports whether the stream has been connected since, so that it has reported every
	// change.
	connected bool
	// unwatched is why the server refused the stream when it last answered; empty: it did not.
	unwatched string
}

// LastSerial returns the serial of the last published token. It is kept when a session that used to
// mint publishes another kind of credential.
func (s *Scope) LastSerial() int64 {
	if s.Prior.Token != nil {
		return s.Prior.Token.Serial
	}
	if s.Session.Status.Token != nil {
		return s.Session.Status.Token.Serial
	}
	return 0
}

// CheckedUsername returns the user that the server named when the credential was last checked, or
// the one in status; empty: unknown.
func (s *Scope) CheckedUsername() string {
	switch {
	case s.Memory.Check.User != nil:
		return s.Memory.Check.User.Username
	case s.Session.Status.User != nil:
		return s.Session.Status.User.Username
	}
	return ""
}

// Outdated returns an error that says why the observation is out of date.
func Outdated(why string) error { return fmt.Errorf("%w: %s", reconcile.ErrOutdated, why) }

// AccessDeniedError says why the access rules do not allow what the server grants, or cannot limit.
type AccessDeniedError struct{ Reason string }

// Error returns the reason.
func (e *AccessDeniedError) Error() string { return e.Reason }

// DenyAccess returns an *AccessDeniedError for a reason; nil if that is empty.
func DenyAccess(reason string) error {
	if reason == "" {
		return nil
	}
	return &AccessDeniedError{Reason: reason}
}

// FromStrings converts strings to a list of names. Nil stays nil.
func FromStrings[T ~string](items []string) []T {
	if items == nil {
		return nil
	}
	list := make([]T, len(items))
	for i, item := range items {
		list[i] = T(item)
	}
	return list
}

// ToStrings converts a list of names to strings.
func ToStrings[T ~string](items []T) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = string(item)
	}
	return list
}

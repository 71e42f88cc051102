// SPDX-License-Identifier: Apache-2.0

package secret

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Ownership says who owns the Secret of a session's name.
type Ownership int

const (
	// Absent means that the Secret does not exist.
	Absent Ownership = iota
	// Owned means that the session controls the Secret.
	Owned
	// Adoptable means that the operator wrote the Secret for a session of this name and no other object
	// controls it: a deleted session left it, or it was restored from a backup, which keeps labels and
	// annotations and drops owners. The session takes it over with its first write (B112).
	Adoptable
	// Foreign means that the Secret belongs to another owner; it is never changed (B23).
	Foreign
)

// String returns a text for people.
func (o Ownership) String() string {
	switch o {
	case Absent:
		return "absent"
	case Owned:
		return "owned"
	case Adoptable:
		return "adoptable"
	case Foreign:
		return "foreign"
	}
	return "unknown"
}

// State is what the metadata says about the Secret of a session. The zero value is an absent
// Secret.
type State struct {
	Ownership Ownership
	// ResourceVersion and UID are the preconditions of the next write.
	ResourceVersion string
	UID             types.UID
	// Deleting: the Secret is being deleted and waits for a finalizer.
	Deleting bool
	// Retained: a deleted session left it, and has revoked its token.
	Retained bool
	// Token that is published. Nil: none, or its metadata is invalid.
	Token *TokenMeta
	// Fingerprint of what it was written from, see [Fingerprint].
	Fingerprint string
	// Credential identifies what authenticates the Secret's readers; empty: an older operator wrote it.
	Credential string
	// Corrupt says which annotation is invalid and why. Token is nil then (B25). It contains nothing
	// of the annotation's value. It is empty if all are valid.
	Corrupt string
	// Written: this Store wrote the Secret last, so that its contents need not be checked. Only
	// Observe sets it.
	Written bool
}

// StateOf reads the metadata of the Secret with the session's Secret name. Nil: there is none. It
// accepts any metadata. For a foreign Secret it only returns the ownership.
func StateOf(meta *metav1.PartialObjectMetadata, session *v1alpha1.CoderSession) State {
	if meta == nil {
		return State{}
	}
	state := State{
		Ownership:       ownershipOf(&meta.ObjectMeta, session),
		ResourceVersion: meta.ResourceVersion,
		UID:             meta.UID,
		Deleting:        meta.DeletionTimestamp != nil,
	}
	if state.Ownership == Foreign {
		return state
	}
	state.Retained = meta.Annotations[v1alpha1.AnnotationRetained] == retained
	state.Fingerprint = meta.Annotations[v1alpha1.AnnotationFingerprint]
	state.Credential = meta.Annotations[v1alpha1.AnnotationCredential]
	state.Token, state.Corrupt = parseToken(meta.Annotations)
	return state
}

// stateOf is StateOf for plain metadata.
func stateOf(meta *metav1.ObjectMeta, session *v1alpha1.CoderSession) State {
	return StateOf(&metav1.PartialObjectMetadata{ObjectMeta: *meta}, session)
}

func ownershipOf(meta *metav1.ObjectMeta, session *v1alpha1.CoderSession) Ownership {
	switch {
	case session.Controls(meta):
		return Owned
	case session.MayAdopt(meta) && session.HasMarked(meta):
		return Adoptable
	}
	return Foreign
}

// retained is the value of the annotation of that name.
const retained = "true"

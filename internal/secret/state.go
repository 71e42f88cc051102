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
	// Retained means that a deleted session of the same name left the Secret; this one takes it over
	// with its first write.
	Retained
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
	case Retained:
		return "retained"
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
	// Token that is published. Nil: none, or its metadata is invalid.
	Token *TokenMeta
	// Fingerprint of what it was written from, see [Fingerprint].
	Fingerprint string
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
	state.Fingerprint = meta.Annotations[v1alpha1.AnnotationFingerprint]
	state.Token, state.Corrupt = parseToken(meta.Annotations)
	return state
}

// stateOf is StateOf for plain metadata.
func stateOf(meta *metav1.ObjectMeta, session *v1alpha1.CoderSession) State {
	return StateOf(&metav1.PartialObjectMetadata{ObjectMeta: *meta}, session)
}

func ownershipOf(meta *metav1.ObjectMeta, session *v1alpha1.CoderSession) Ownership {
	controller := metav1.GetControllerOfNoCopy(meta)
	switch {
	case controller != nil && session.UID != "" && controller.UID == session.UID:
		return Owned
	case controller == nil && meta.Annotations[v1alpha1.AnnotationRetained] == retained &&
		meta.Labels[v1alpha1.LabelSession] == session.Name:
		return Retained
	}
	return Foreign
}

// retained is the value of the annotation of that name.
const retained = "true"

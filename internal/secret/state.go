// SPDX-License-Identifier: Apache-2.0

package secret

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Ownership says whose the Secret of a session's name is.
type Ownership int

const (
	// Absent says that there is none.
	Absent Ownership = iota
	// Owned says that the session controls it.
	Owned
	// Retained says that a session of the same name left it; this one takes it over
	// with its first write.
	Retained
	// Foreign says that it is somebody else's, and never touched (B23).
	Foreign
)

// String is for people.
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

// State is what is known of the Secret of a session's name from its metadata alone.
// The zero value is an absent Secret.
type State struct {
	Ownership Ownership
	// ResourceVersion and UID are the preconditions of the next write.
	ResourceVersion string
	UID             types.UID
	// Deleting says that it only waits for somebody's finalizer.
	Deleting bool
	// Token that is published. Nil: none, or its metadata cannot be read.
	Token *TokenMeta
	// Fingerprint of what it was written from, see [Fingerprint].
	Fingerprint string
	// Corrupt, where it is not empty, says which annotation cannot be read and why;
	// there is no Token then (B25). It holds nothing of the annotation's value.
	Corrupt string
	// Written says that this Store wrote it last, so that its contents need no look.
	// Only Observe knows.
	Written bool
}

// StateOf reads the metadata of the Secret with the session's Secret name; nil: there
// is none. It never fails, whatever stands there. Of a foreign Secret it reads nothing
// but who it is.
func StateOf(meta *metav1.PartialObjectMetadata, session *v1alpha1.CoderSession) State {
	if meta == nil {
		return State{}
	}
	state := State{
		Ownership:       ownership(&meta.ObjectMeta, session),
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

// stateOf is StateOf for metadata that is at hand as such.
func stateOf(meta *metav1.ObjectMeta, session *v1alpha1.CoderSession) State {
	return StateOf(&metav1.PartialObjectMetadata{ObjectMeta: *meta}, session)
}

func ownership(meta *metav1.ObjectMeta, session *v1alpha1.CoderSession) Ownership {
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

// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// key of the document in the Secret.
const key = "state"

// ErrForeign is returned for a Secret that does not belong to the session. It is never read or
// written.
var ErrForeign = errors.New("the Secret does not belong to this session")

// CorruptError is returned if the Secret belongs to the session but its document cannot be decoded
// (B25).
type CorruptError struct {
	// Secret and Key say where the document is.
	Secret types.NamespacedName
	Key    string
}

// Error returns a text without credentials.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("Secret %q, key %q: the document cannot be read; what it held is lost", e.Secret.Name, e.Key)
}

// Writer is the part of a client that the Store writes with.
type Writer interface {
	// Create creates a Secret that does not exist yet.
	Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error
	// Update replaces the Secret with the UID and resource version of obj.
	Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error
	// Delete deletes a Secret if the preconditions in opts hold.
	Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error
}

// Store reads and writes the documents. Create it with [NewStore]. It has no state and is safe for
// concurrent use; preconditions prevent conflicting writes. Errors wrap those of the API server.
type Store struct {
	reader client.Reader
	writer Writer
}

// NewStore returns a Store that reads from the API server, not from a cache.
func NewStore(reader client.Reader, writer Writer) *Store {
	return &Store{reader: reader, writer: writer}
}

// Version identifies what was read. The zero value stands for an absent document.
type Version struct {
	UID             types.UID
	ResourceVersion string

	// meta holds the labels, annotations and finalizers of others, which a write preserves (B30).
	meta *metav1.ObjectMeta
}

func versionOf(live *corev1.Secret) Version {
	return Version{UID: live.UID, ResourceVersion: live.ResourceVersion, meta: live.ObjectMeta.DeepCopy()}
}

// Absent reports whether there is no Secret.
func (v Version) Absent() bool { return v.ResourceVersion == "" }

// SecretName returns the name of the Secret with the session's document.
func SecretName(session *v1alpha1.CoderSession) string { return session.Name + secretSuffix }

// SessionName returns the name of the session whose document a Secret of this name would have, or the name itself if
// it is of none.
func SessionName(secret string) string { return strings.TrimSuffix(secret, secretSuffix) }

const secretSuffix = "-oauth"

// Read returns the session's document. If the Secret does not exist, the State is empty. From a document
// that the session does not own yet, what has no [Destination] is left out. Errors:
// [ErrForeign]; a *[CorruptError], together with the version of the Secret.
func (s *Store) Read(ctx context.Context, session *v1alpha1.CoderSession) (State, Version, error) {
	name := types.NamespacedName{Namespace: session.Namespace, Name: SecretName(session)}
	live := &corev1.Secret{}
	if err := s.reader.Get(ctx, name, live); err != nil {
		if apierrors.IsNotFound(err) {
			return State{}, Version{}, nil
		}
		return State{}, Version{}, fmt.Errorf("read Secret %s: %w", name, err)
	}
	if !isOwner(session, live) {
		return State{}, Version{}, fmt.Errorf("read Secret %s: %w", name, ErrForeign)
	}
	version := versionOf(live)
	state, err := decodeState(live.Data[key])
	if err != nil {
		return State{}, version, &CorruptError{Secret: name, Key: key}
	}
	if !session.Controls(live) {
		state.dropWithoutDestination()
	}
	return state, version, nil
}

// Write stores the document if the Secret is unchanged since it was read. If another writer changed
// it, the error is a conflict or AlreadyExists, and nothing was written.
func (s *Store) Write(ctx context.Context, session *v1alpha1.CoderSession, state State, was Version) (Version, error) {
	text, err := encodeState(state)
	if err != nil {
		return Version{}, fmt.Errorf("encode the grant of session %s: %w", session.Name, err)
	}
	next := &corev1.Secret{ObjectMeta: metaOf(session, was), Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{key: text}}
	if was.Absent() {
		err = s.writer.Create(ctx, next)
	} else {
		err = s.writer.Update(ctx, next)
	}
	if err != nil {
		return Version{}, fmt.Errorf("write Secret %s: %w", client.ObjectKeyFromObject(next), err)
	}
	return versionOf(next), nil
}

// metaOf returns the metadata of the next document: those of the last, and what the session needs.
func metaOf(session *v1alpha1.CoderSession, was Version) metav1.ObjectMeta {
	var meta metav1.ObjectMeta
	if was.meta != nil {
		meta = metav1.ObjectMeta{
			Labels: maps.Clone(was.meta.Labels), Annotations: was.meta.Annotations, Finalizers: was.meta.Finalizers,
			OwnerReferences: slices.Clone(was.meta.OwnerReferences),
		}
	}
	if !session.Controls(&meta) {
		meta.OwnerReferences = slices.DeleteFunc(meta.OwnerReferences,
			func(owner metav1.OwnerReference) bool { return ptr.Deref(owner.Controller, false) })
		meta.OwnerReferences = append(meta.OwnerReferences,
			*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind(v1alpha1.KindCoderSession)))
	}
	meta.Namespace, meta.Name, meta.UID, meta.ResourceVersion = session.Namespace, SecretName(session), was.UID,
		was.ResourceVersion
	if meta.Labels == nil {
		meta.Labels = map[string]string{}
	}
	meta.Labels[v1alpha1.LabelGrant] = session.Name
	return meta
}

// attempts is how often Change tries to write if other writers interfere.
const attempts = 5

// Change reads the document, passes it to change, and writes it back. If another writer changed or
// deleted it in between, Change tries again with the new contents. An error of change is returned
// unchanged, and nothing is written.
func (s *Store) Change(ctx context.Context, session *v1alpha1.CoderSession, change func(*State) error) (State, error) {
	var failed error
	for range attempts {
		state, version, err := s.Read(ctx, session)
		if err != nil {
			return State{}, err
		}
		if err := change(&state); err != nil {
			return state, err
		}
		if _, failed = s.Write(ctx, session, state, version); failed == nil {
			return state, nil
		}
		if !apierrors.IsConflict(failed) && !apierrors.IsAlreadyExists(failed) && !apierrors.IsNotFound(failed) {
			return state, failed
		}
	}
	return State{}, failed
}

// Delete deletes the document if it is unchanged since it was read. It succeeds if the document is
// gone already.
func (s *Store) Delete(ctx context.Context, session *v1alpha1.CoderSession, was Version) error {
	if was.Absent() {
		return nil
	}
	doomed := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, Name: SecretName(session)}}
	err := s.writer.Delete(ctx, doomed, client.Preconditions{
		UID: ptr.To(was.UID), ResourceVersion: ptr.To(was.ResourceVersion)})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Secret %s: %w", client.ObjectKeyFromObject(doomed), err)
	}
	return nil
}

// isOwner reports whether the Secret belongs to the session, or was restored from a backup without an
// owner and is taken over with the session's next write (B112). It may also be that of a former session
// of this name, so what it holds is sent only where its [Destination] permits. One that names a former session as its
// owner is left to the garbage collector: a grant is not passed on to the session that uses the name next.
func isOwner(session *v1alpha1.CoderSession, object metav1.Object) bool {
	restored := metav1.GetControllerOfNoCopy(object) == nil && session.MayAdopt(object)
	return session.Controls(object) || restored && object.GetLabels()[v1alpha1.LabelGrant] == session.Name
}

// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Write makes the Secret equal to what [Render] creates from in, if it is still as in prior, and
// returns its new state. Contents change in one request (B22): an absent Secret is created, an
// owned or an adoptable one updated. Labels and annotations of others stay; contents of others do
// not.
//
// A Secret of another type or one that is marked immutable cannot be updated: it is deleted and
// created again.
//
// Errors: [ErrForeign]; those of Render; a conflict or AlreadyExists if another writer changed it
// in between, and then nothing was written; an *[AlteredError] if the API server has stored something
// else.
func (s *Store) Write(ctx context.Context, in Input, prior State) (State, error) {
	key := keyOf(in.Session)
	if prior.Ownership == Foreign {
		return State{}, fmt.Errorf("write Secret %s: %w", key, ErrForeign)
	}
	if prior.Deleting {
		return State{}, fmt.Errorf("write Secret %s: %w", key, newConflict(key, "it is being deleted"))
	}
	wanted, err := Render(s.key, in)
	if err != nil {
		return State{}, err
	}
	if prior.Ownership == Absent {
		return s.createSecret(ctx, wanted, in.Session)
	}
	live, err := s.readExpected(ctx, in.Session, prior)
	if err != nil {
		return State{}, fmt.Errorf("write Secret %s: %w", key, err)
	}
	keepCredential(live, wanted)
	wanted.ObjectMeta = mergeMetadata(&live.ObjectMeta, &wanted.ObjectMeta)
	if live.Type != wanted.Type || ptr.Deref(live.Immutable, false) {
		return s.replaceSecret(ctx, wanted, in.Session, prior)
	}
	return s.updateSecret(ctx, wanted, in.Session)
}

// TryWrite asks the API server whether it would take what [Store.Write] sends, as a dry run: quotas,
// admission policies and rights are checked, and nothing changes. Errors are those of Write.
func (s *Store) TryWrite(ctx context.Context, in Input, prior State) error {
	wanted, err := Render(s.key, in)
	if err != nil {
		return err
	}
	if prior.Ownership == Absent {
		sent := wanted.DeepCopy()
		if err := s.writer.Create(ctx, wanted, client.DryRunAll); err != nil {
			return fmt.Errorf("create Secret %s: %w", keyOf(in.Session), err)
		}
		return findAlteration(sent, wanted)
	}
	live, err := s.readExpected(ctx, in.Session, prior)
	if err != nil {
		return fmt.Errorf("write Secret %s: %w", keyOf(in.Session), err)
	}
	wanted.ObjectMeta = mergeMetadata(&live.ObjectMeta, &wanted.ObjectMeta)
	if live.Type != wanted.Type || ptr.Deref(live.Immutable, false) {
		return nil // it would be replaced
	}
	sent := wanted.DeepCopy()
	if err := s.writer.Update(ctx, wanted, client.DryRunAll); err != nil {
		return fmt.Errorf("update Secret %s: %w", keyOf(in.Session), err)
	}
	return findAlteration(sent, wanted)
}

// Delete deletes the Secret if it is still as in prior. It succeeds if the Secret is gone
// already, and leaves a foreign one alone. If another writer changed it in between, the error is a
// conflict.
func (s *Store) Delete(ctx context.Context, session *v1alpha1.CoderSession, prior State) error {
	if prior.Ownership != Owned && prior.Ownership != Adoptable {
		return nil
	}
	return s.deleteSecret(ctx, session, prior)
}

// Retain removes the Secret's owner, for deletionPolicy Retain. It leaves a Secret alone that is
// absent, foreign, being deleted or retained already. If another writer changed it in between, the
// error is a conflict.
func (s *Store) Retain(ctx context.Context, session *v1alpha1.CoderSession, prior State) error {
	mine := prior.Ownership == Owned || prior.Ownership == Adoptable && !prior.Retained
	if !mine || prior.Deleting {
		return nil
	}
	live, err := s.readExpected(ctx, session, prior)
	if err != nil {
		return fmt.Errorf("retain Secret %s: %w", keyOf(session), err)
	}
	released := live.DeepCopy()
	released.OwnerReferences = nil
	for _, owner := range live.OwnerReferences {
		if owner.UID != session.UID {
			released.OwnerReferences = append(released.OwnerReferences, owner)
		}
	}
	released.Annotations = overlayKeys(live.Annotations, map[string]string{v1alpha1.AnnotationRetained: retained}, nil)
	released.Labels = overlayKeys(live.Labels, map[string]string{v1alpha1.LabelSession: session.Name}, nil)
	_, err = s.updateSecret(ctx, released, session)
	return err
}

// readExpected reads the live Secret and checks that it is the one in prior.
func (s *Store) readExpected(ctx context.Context, session *v1alpha1.CoderSession, prior State) (*corev1.Secret, error) {
	live, err := s.readLive(ctx, session)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return nil, newConflict(keyOf(session), "it is gone")
	}
	if live.ResourceVersion != prior.ResourceVersion || live.UID != prior.UID {
		return nil, newConflict(keyOf(session), "it was changed")
	}
	return live, nil
}

func (s *Store) createSecret(
	ctx context.Context, wanted *corev1.Secret, session *v1alpha1.CoderSession,
) (State, error) {
	sent := wanted.DeepCopy()
	if err := s.writer.Create(ctx, wanted); err != nil {
		return State{}, fmt.Errorf("create Secret %s: %w", keyOf(session), err)
	}
	return s.recordWrite(wanted, session), findAlteration(sent, wanted)
}

// updateSecret sends an object with the resourceVersion and UID of the live one.
func (s *Store) updateSecret(
	ctx context.Context, wanted *corev1.Secret, session *v1alpha1.CoderSession,
) (State, error) {
	sent := wanted.DeepCopy()
	if err := s.writer.Update(ctx, wanted); err != nil {
		return State{}, fmt.Errorf("update Secret %s: %w", keyOf(session), err)
	}
	return s.recordWrite(wanted, session), findAlteration(sent, wanted)
}

// replaceSecret deletes the live Secret and creates wanted in its place, with a new UID.
func (s *Store) replaceSecret(
	ctx context.Context, wanted *corev1.Secret, session *v1alpha1.CoderSession, prior State,
) (State, error) {
	if err := s.deleteSecret(ctx, session, prior); err != nil {
		return State{}, err
	}
	wanted.ObjectMeta = metav1.ObjectMeta{
		Namespace: wanted.Namespace, Name: wanted.Name,
		Labels: maps.Clone(wanted.Labels), Annotations: maps.Clone(wanted.Annotations),
		OwnerReferences: wanted.OwnerReferences,
	}
	return s.createSecret(ctx, wanted, session)
}

func (s *Store) deleteSecret(ctx context.Context, session *v1alpha1.CoderSession, prior State) error {
	key := keyOf(session)
	doomed := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	err := s.writer.Delete(ctx, doomed, client.Preconditions{
		UID: ptr.To(prior.UID), ResourceVersion: ptr.To(prior.ResourceVersion),
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Secret %s: %w", key, err)
	}
	s.memory.recordDeletion(session, prior)
	return nil
}

func (s *Store) recordWrite(written *corev1.Secret, session *v1alpha1.CoderSession) State {
	s.memory.recordWrite(session, &written.ObjectMeta)
	return stateOf(&written.ObjectMeta, session)
}

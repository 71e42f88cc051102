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

// Write makes the Secret what [Render] makes of in, provided that it still is as prior
// says, and returns its state afterwards. Contents change in one request (B22): an
// absent Secret is created, an own or a retained one updated. Labels and annotations of
// others stay; contents of others do not.
//
// A Secret whose type is another or which is marked immutable cannot be updated: it is
// deleted and created anew.
//
// Errors: [ErrForeign]; those of Render; a conflict or AlreadyExists when somebody was
// there in between, and then nothing was written.
func (s *Store) Write(ctx context.Context, in Input, prior State) (State, error) {
	key := keyOf(in.Session)
	if prior.Ownership == Foreign {
		return State{}, fmt.Errorf("write Secret %s: %w", key, ErrForeign)
	}
	if prior.Deleting {
		return State{}, fmt.Errorf("write Secret %s: %w", key, conflict(key, "it is being deleted"))
	}
	wanted, err := Render(s.key, in)
	if err != nil {
		return State{}, err
	}
	if prior.Ownership == Absent {
		return s.create(ctx, wanted, in.Session)
	}
	live, err := s.current(ctx, in.Session, prior)
	if err != nil {
		return State{}, fmt.Errorf("write Secret %s: %w", key, err)
	}
	wanted.ObjectMeta = merge(&live.ObjectMeta, &wanted.ObjectMeta)
	if live.Type != wanted.Type || ptr.Deref(live.Immutable, false) {
		return s.replace(ctx, wanted, in.Session, prior)
	}
	return s.update(ctx, wanted, in.Session)
}

// Withdraw deletes the Secret, provided that it still is as prior says. One that is
// absent already is success; a foreign one is left alone. The error is a conflict when
// somebody wrote it in between.
func (s *Store) Withdraw(ctx context.Context, session *v1alpha1.CoderSession, prior State) error {
	if prior.Ownership != Owned && prior.Ownership != Retained {
		return nil
	}
	return s.remove(ctx, keyOf(session), prior)
}

// Retain makes the Secret one that no session owns, for deletionPolicy Retain. One that
// is absent, foreign, being deleted or retained already is left alone. The error is a
// conflict when somebody wrote it in between.
func (s *Store) Retain(ctx context.Context, session *v1alpha1.CoderSession, prior State) error {
	if prior.Ownership != Owned || prior.Deleting {
		return nil
	}
	live, err := s.current(ctx, session, prior)
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
	released.Annotations = overlay(live.Annotations, map[string]string{v1alpha1.AnnotationRetained: retained}, nil)
	released.Labels = overlay(live.Labels, map[string]string{v1alpha1.LabelSession: session.Name}, nil)
	_, err = s.update(ctx, released, session)
	return err
}

// current reads the live Secret, which has to be the one that prior tells of.
func (s *Store) current(ctx context.Context, session *v1alpha1.CoderSession, prior State) (*corev1.Secret, error) {
	live, err := s.read(ctx, session)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return nil, conflict(keyOf(session), "it is gone")
	}
	if live.ResourceVersion != prior.ResourceVersion || live.UID != prior.UID {
		return nil, conflict(keyOf(session), "it was changed")
	}
	return live, nil
}

func (s *Store) create(ctx context.Context, wanted *corev1.Secret, session *v1alpha1.CoderSession) (State, error) {
	if err := s.writer.Create(ctx, wanted); err != nil {
		return State{}, fmt.Errorf("create Secret %s: %w", keyOf(session), err)
	}
	return s.wrote(wanted, session), nil
}

// update sends an object that carries the resourceVersion and UID of the live one.
func (s *Store) update(ctx context.Context, wanted *corev1.Secret, session *v1alpha1.CoderSession) (State, error) {
	if err := s.writer.Update(ctx, wanted); err != nil {
		return State{}, fmt.Errorf("update Secret %s: %w", keyOf(session), err)
	}
	return s.wrote(wanted, session), nil
}

// replace deletes the live Secret and creates wanted in its place, with nothing of the
// old one's identity.
func (s *Store) replace(
	ctx context.Context, wanted *corev1.Secret, session *v1alpha1.CoderSession, prior State,
) (State, error) {
	if err := s.remove(ctx, keyOf(session), prior); err != nil {
		return State{}, err
	}
	wanted.ObjectMeta = metav1.ObjectMeta{
		Namespace: wanted.Namespace, Name: wanted.Name,
		Labels: maps.Clone(wanted.Labels), Annotations: maps.Clone(wanted.Annotations),
		OwnerReferences: wanted.OwnerReferences,
	}
	return s.create(ctx, wanted, session)
}

func (s *Store) remove(ctx context.Context, key client.ObjectKey, prior State) error {
	doomed := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	err := s.writer.Delete(ctx, doomed, client.Preconditions{
		UID: ptr.To(prior.UID), ResourceVersion: ptr.To(prior.ResourceVersion),
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Secret %s: %w", key, err)
	}
	s.memory.deleted(key, prior)
	return nil
}

func (s *Store) wrote(written *corev1.Secret, session *v1alpha1.CoderSession) State {
	s.memory.wrote(keyOf(session), &written.ObjectMeta)
	return stateOf(&written.ObjectMeta, session)
}

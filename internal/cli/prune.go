// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// copiedKey is the key of the token in the Secret that it is copied to.
const copiedKey = "token"

// pruneSecret deletes a flat Secret that nothing uses any more. Every intermediate state works, and
// the next run continues after the last completed step.
//
//	ready ──► unused ──► token copied ──► session reads the copy ──► ready ──► deleted
func (m *migration) pruneSecret(ctx context.Context, next *move) error {
	if owner := metav1.GetControllerOf(next.secret); owner != nil {
		return fmt.Errorf("it belongs to %s %s, which would make it again: delete that", owner.Kind, owner.Name)
	}
	if next.session.Annotations[annotationMigratedFrom] != next.secret.Name {
		return fmt.Errorf("session %s was not made by migrate: have it read another Secret, and delete this one "+
			"yourself", fullName(next.session))
	}
	if !readsSecret(next.session, copySecretName(next.session)) {
		if err := m.waitUntilReady(ctx, next.session); err != nil {
			return err
		}
	}
	if err := m.checkUnused(ctx, next); err != nil {
		return err
	}
	if err := m.copyToken(ctx, next); err != nil {
		return err
	}
	if err := m.switchToCopy(ctx, next); err != nil {
		return err
	}
	if err := m.waitUntilReady(ctx, next.session); err != nil {
		return err
	}
	return m.deleteSecret(ctx, next)
}

// copySecretName is the name of the Secret that the session reads its token from after the flat
// Secret is deleted.
func copySecretName(s *v1alpha1.CoderSession) string { return s.Name + "-token" }

// waitUntilReady waits until the session is ready with its current spec.
func (m *migration) waitUntilReady(ctx context.Context, session *v1alpha1.CoderSession) error {
	ctx, cancel := m.withTimeout(ctx, m.options.timeout)
	defer cancel()
	there := *m.cluster
	there.namespace = session.Namespace
	var last *v1alpha1.CoderSession
	lastStatus := ""
	err := newFollower(m.connector, &there, sessionKind, session.Name,
		func(_ context.Context, s *v1alpha1.CoderSession) (bool, error) {
			if s == nil || s.UID != session.UID {
				return false, fmt.Errorf("session %s was deleted", fullName(session))
			}
			last = s
			if ready := readyCondition(s); ready != nil && ready.Status == metav1.ConditionTrue {
				return true, nil
			}
			if is := describeSessionStatus(s); is != lastStatus {
				lastStatus = is
				m.out.printErrf("Waiting for session %s, which %s", fullName(s), is)
			}
			return false, nil
		}).run(ctx)
	switch {
	case errors.Is(err, errTimedOut) && last == nil:
		return fmt.Errorf("session %s could not be read within %s", fullName(session), m.options.timeout)
	case errors.Is(err, errTimedOut):
		return fmt.Errorf("session %s is not ready within %s: it %s", fullName(session), m.options.timeout,
			describeSessionStatus(last))
	}
	return err
}

// checkUnused returns an error if a pod uses the Secret.
func (m *migration) checkUnused(ctx context.Context, next *move) error {
	pods, _, err := podKind.listAll(ctx, m.cluster.client, selectNamespace(next.secret.Namespace))
	if err != nil {
		return fmt.Errorf("look whether a pod uses it: %w", err)
	}
	for _, pod := range pods {
		if usesSecret(pod, next.secret.Name) {
			return fmt.Errorf("pod %s uses it: switch that to Secret %s", fullName(pod), next.session.SecretName())
		}
	}
	return nil
}

// copyToken creates a Secret with the token only. An existing one is overwritten only if migrate
// created it and the session does not read it yet.
func (m *migration) copyToken(ctx context.Context, next *move) error {
	token := strings.TrimSpace(string(next.secret.Data[next.tokenKey]))
	copied := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: next.secret.Namespace, Name: copySecretName(next.session),
			Annotations: map[string]string{annotationMigratedFrom: next.secret.Name},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{copiedKey: []byte(token)},
	}
	err := m.cluster.client.Create(ctx, copied, fieldOwner)
	if err == nil {
		m.out.printOut(fmt.Sprintf("Secret %s created", fullName(copied)))
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return secretWriteError("create Secret "+fullName(copied), err)
	}
	there := &corev1.Secret{}
	if err := m.cluster.client.Get(ctx, client.ObjectKeyFromObject(copied), there); err != nil {
		return fmt.Errorf("read Secret %s: %w", fullName(copied), err)
	}
	switch {
	case there.Annotations[annotationMigratedFrom] != next.secret.Name:
		return fmt.Errorf("its token is to be copied to Secret %s, but another Secret has that name: rename or "+
			"delete that one", fullName(there))
	case string(there.Data[copiedKey]) == token:
		return nil
	case readsSecret(next.session, there.Name):
		return fmt.Errorf("it has another token than Secret %s, which session %s reads: write the one that is good "+
			"to that Secret, key %s, and to this one", fullName(there), fullName(next.session), copiedKey)
	}
	there.Data = copied.Data // with the resource version of there: a concurrent change is a conflict
	return secretWriteError("write Secret "+fullName(there), m.cluster.client.Update(ctx, there, fieldOwner))
}

// secretWriteError returns the reason of an error of writing a Secret without its text, which might
// quote a value.
func secretWriteError(what string, err error) error {
	if err == nil {
		return nil
	}
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return fmt.Errorf("%s: %s", what, reason)
	}
	return fmt.Errorf("%s: the API server could not be asked", what)
}

// switchToCopy makes the session read the copy, provided that it still reads the flat Secret.
func (m *migration) switchToCopy(ctx context.Context, next *move) error {
	name := copySecretName(next.session)
	if readsSecret(next.session, name) {
		return nil
	}
	const path = "/spec/auth/token/secretRef"
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": next.session.UID},
		{"op": "test", "path": path + "/name", "value": next.secret.Name},
		{"op": "replace", "path": path,
			"value": v1alpha1.TokenSecretRef{Name: v1alpha1.ObjectName(name), Key: copiedKey}},
	})
	if err != nil {
		return fmt.Errorf("make a patch: %w", err)
	}
	if err := m.cluster.client.Patch(
		ctx, next.session, client.RawPatch(types.JSONPatchType, patch), fieldOwner); err != nil {
		return fmt.Errorf("have session %s read its token from Secret %s: %w", fullName(next.session), name, err)
	}
	m.out.printOut(fmt.Sprintf("session %s reads its token from Secret %s, key %s", fullName(next.session), name,
		copiedKey))
	return nil
}

// deleteSecret deletes the flat Secret, provided that it has not changed since it was read.
func (m *migration) deleteSecret(ctx context.Context, next *move) error {
	uid, version := next.secret.UID, next.secret.ResourceVersion
	err := m.cluster.client.Delete(ctx, next.secret, client.Preconditions{UID: &uid, ResourceVersion: &version})
	switch {
	case apierrors.IsConflict(err):
		return errors.New("it has just been changed by another client: run this again")
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("delete it: %w", err)
	}
	m.out.printOut(fmt.Sprintf("Secret %s deleted", fullName(next.secret)))
	m.out.printErrf("From now on write another token for session %s to Secret %s, key %s.", fullName(next.session),
		copySecretName(next.session), copiedKey)
	return nil
}

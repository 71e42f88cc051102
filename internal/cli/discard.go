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

// copiedKey is where in its Secret a token is that was copied.
const copiedKey = "token"

// discard deletes a flat Secret that is of no use any more. After each step everything works, and another run goes on there.
//
//	ready ──► unused ──► token copied ──► session reads the copy ──► ready ──► deleted
func (m *migration) discard(ctx context.Context, next *move) error {
	if owner := metav1.GetControllerOf(next.secret); owner != nil {
		return fmt.Errorf("it belongs to %s %s, which would make it again: delete that", owner.Kind, owner.Name)
	}
	if next.session.Annotations[annotationMigratedFrom] != next.secret.Name {
		return fmt.Errorf("session %s was not made by migrate: have it read another Secret, and delete this one yourself", fullName(next.session))
	}
	if !reads(next.session, copyName(next.session)) {
		if err := m.untilReady(ctx, next.session); err != nil {
			return err
		}
	}
	if err := m.checkUnused(ctx, next); err != nil {
		return err
	}
	if err := m.copyToken(ctx, next); err != nil {
		return err
	}
	if err := m.repoint(ctx, next); err != nil {
		return err
	}
	if err := m.untilReady(ctx, next.session); err != nil {
		return err
	}
	return m.remove(ctx, next)
}

// copyName is the Secret that a session reads its token from when the flat one is gone.
func copyName(s *v1alpha1.CoderSession) string { return s.Name + "-token" }

// untilReady waits for a session that is ready with its spec as it is now.
func (m *migration) untilReady(ctx context.Context, session *v1alpha1.CoderSession) error {
	ctx, cancel := m.limit(ctx, m.options.timeout)
	defer cancel()
	there := *m.cluster
	there.namespace = session.Namespace
	var last *v1alpha1.CoderSession
	told := ""
	err := follow(m.connector, &there, sessionKind, session.Name, func(_ context.Context, s *v1alpha1.CoderSession) (bool, error) {
		if s == nil || s.UID != session.UID {
			return false, fmt.Errorf("session %s was deleted", fullName(session))
		}
		last = s
		if ready := readiness(s); ready != nil && ready.Status == metav1.ConditionTrue {
			return true, nil
		}
		if is := standing(s); is != told {
			told = is
			m.out.printf("Waiting for session %s, which %s", fullName(s), is)
		}
		return false, nil
	}).run(ctx)
	switch {
	case errors.Is(err, errTimedOut) && last == nil:
		return fmt.Errorf("session %s could not be read within %s", fullName(session), m.options.timeout)
	case errors.Is(err, errTimedOut):
		return fmt.Errorf("session %s is not ready within %s: it %s", fullName(session), m.options.timeout, standing(last))
	}
	return err
}

// checkUnused looks for pods that use the Secret.
func (m *migration) checkUnused(ctx context.Context, next *move) error {
	pods, _, err := podKind.read(ctx, m.cluster.client, within(next.secret.Namespace))
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

// copyToken makes a Secret with the token alone. One that is there is overwritten only if this made it and no session reads it.
func (m *migration) copyToken(ctx context.Context, next *move) error {
	token := strings.TrimSpace(string(next.secret.Data[next.tokenKey]))
	copied := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: next.secret.Namespace, Name: copyName(next.session),
			Annotations: map[string]string{annotationMigratedFrom: next.secret.Name},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{copiedKey: []byte(token)},
	}
	err := m.cluster.client.Create(ctx, copied, fieldOwner)
	if err == nil {
		m.out.println(fmt.Sprintf("Secret %s created", fullName(copied)))
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return concealed("create Secret "+fullName(copied), err)
	}
	there := &corev1.Secret{}
	if err := m.cluster.client.Get(ctx, client.ObjectKeyFromObject(copied), there); err != nil {
		return fmt.Errorf("read Secret %s: %w", fullName(copied), err)
	}
	switch {
	case there.Annotations[annotationMigratedFrom] != next.secret.Name:
		return fmt.Errorf("the name of Secret %s is wanted for its token, and taken: rename or delete that Secret", fullName(there))
	case string(there.Data[copiedKey]) == token:
		return nil
	case reads(next.session, there.Name):
		return fmt.Errorf("it has another token than Secret %s, which session %s reads: write the one that is good to that Secret, key %s, and to this one", fullName(there), fullName(next.session), copiedKey)
	}
	there.Data = copied.Data // with the resource version that was read
	return concealed("write Secret "+fullName(there), m.cluster.client.Update(ctx, there, fieldOwner))
}

// concealed is an error about writing a Secret by its reason alone: nobody promises that the text has no value in it.
func concealed(what string, err error) error {
	if err == nil {
		return nil
	}
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return fmt.Errorf("%s: %s", what, reason)
	}
	return fmt.Errorf("%s: the API server could not be asked", what)
}

// repoint has the session read the copy. That it reads the flat Secret is the precondition.
func (m *migration) repoint(ctx context.Context, next *move) error {
	name := copyName(next.session)
	if reads(next.session, name) {
		return nil
	}
	const path = "/spec/auth/token/secretRef"
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": next.session.UID},
		{"op": "test", "path": path + "/name", "value": next.secret.Name},
		{"op": "replace", "path": path, "value": v1alpha1.TokenSecretRef{Name: v1alpha1.ObjectName(name), Key: copiedKey}},
	})
	if err != nil {
		return fmt.Errorf("make a patch: %w", err)
	}
	if err := m.cluster.client.Patch(ctx, next.session, client.RawPatch(types.JSONPatchType, patch), fieldOwner); err != nil {
		return fmt.Errorf("have session %s read its token from Secret %s: %w", fullName(next.session), name, err)
	}
	m.out.println(fmt.Sprintf("session %s reads its token from Secret %s, key %s", fullName(next.session), name, copiedKey))
	return nil
}

// remove deletes the flat Secret as it was read.
func (m *migration) remove(ctx context.Context, next *move) error {
	uid, version := next.secret.UID, next.secret.ResourceVersion
	err := m.cluster.client.Delete(ctx, next.secret, client.Preconditions{UID: &uid, ResourceVersion: &version})
	switch {
	case apierrors.IsConflict(err):
		return errors.New("somebody has changed it just now: run this again")
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("delete it: %w", err)
	}
	m.out.println(fmt.Sprintf("Secret %s deleted", fullName(next.secret)))
	m.out.printf("From now on write another token for session %s to Secret %s, key %s.", fullName(next.session), copyName(next.session), copiedKey)
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

var names = inventory.Names{Cluster: cluster}

const (
	// patience is how long a case waits for what must come.
	patience = 40 * time.Second
	// pause between two looks, so that looking costs little.
	pause = 80 * time.Millisecond
)

// checkUntil is a check that a closed channel puts an end to, as success does.
func checkUntil(until <-chan struct{}, check wait.Check) wait.Check {
	return func(ctx context.Context) error {
		err := check(ctx)
		select {
		case <-until:
			return nil
		default:
			return err
		}
	}
}

// describeState is what helps to understand a failure.
func (w *crashEnv) describeState() string {
	var text strings.Builder
	text.WriteString("what the Coder server was asked last:\n" + w.RecentRequests(25))
	var sessions v1alpha1.CoderSessionList
	_ = w.Client.List(w.T.Context(), &sessions, client.InNamespace(w.Namespace))
	for i := range sessions.Items {
		s := &sessions.Items[i]
		status, _ := json.Marshal(s.Status)
		fmt.Fprintf(&text, "session %s, deleted %v, finalizers %v: %s\n", s.Name, s.DeletionTimestamp, s.Finalizers, status)
	}
	for i, o := range w.operators {
		fmt.Fprintf(&text, "operator %d made %d calls:\n  %s\n and logged:\n%s\n", i+1, o.countCalls(), o.callHistory(),
			o.log.lastEntries())
	}
	return text.String()
}

func describeTokens(keys []coderd.Key) string {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = key.Name + "=" + key.ID
	}
	return "[" + strings.Join(list, " ") + "]"
}

// readyIs: Ready has this status and reason, for the present generation.
func (w *crashEnv) readyIs(name, status, reason string) wait.Check {
	return func(ctx context.Context) error {
		s := &v1alpha1.CoderSession{}
		if err := w.Get(ctx, name, s); err != nil {
			return err
		}
		return testenv.CheckReady(s, metav1.ConditionStatus(status), reason)
	}
}

// oneToken: the server has exactly one live token of the session, the Secret holds
// it, the server accepts it, and status says the same (B40).
func (w *crashEnv) oneToken(name string) wait.Check {
	return func(ctx context.Context) error {
		s, secret := &v1alpha1.CoderSession{}, &corev1.Secret{}
		if err := errors.Join(w.Get(ctx, name, s), w.Get(ctx, name, secret)); err != nil {
			return err
		}
		if err := testenv.CheckReady(s, metav1.ConditionTrue, v1alpha1.ReasonActive); err != nil {
			return err
		}
		live := w.LiveTokens(names.SessionPrefix(string(s.UID)))
		if len(live) != 1 {
			return fmt.Errorf("session %s has the live tokens %s, want one", name, describeTokens(live))
		}
		return errors.Join(w.checkPublished(secret, live[0]), checkStatus(s, secret, live[0]))
	}
}

func (w *crashEnv) checkPublished(secret *corev1.Secret, token coderd.Key) error {
	value := string(secret.Data["session"])
	id, _, _ := strings.Cut(value, "-")
	switch {
	case id != token.ID || secret.Annotations[v1alpha1.AnnotationTokenID] != token.ID:
		return fmt.Errorf("secret %s publishes %q (annotation %q), on the server lives %s", secret.Name, id,
			secret.Annotations[v1alpha1.AnnotationTokenID], token.ID)
	case value != string(secret.Data["CODER_SESSION_TOKEN"]) || !w.Coder.AcceptsToken(value):
		return fmt.Errorf("secret %s: its token %s is not accepted, or not the same in all keys", secret.Name, id)
	}
	return nil
}

func checkStatus(s *v1alpha1.CoderSession, secret *corev1.Secret, token coderd.Key) error {
	t := s.Status.Token
	if t == nil || t.ID != token.ID || t.Name != token.Name ||
		strconv.FormatInt(t.Serial, 10) != secret.Annotations[v1alpha1.AnnotationSerial] {
		return fmt.Errorf("session %s: status has token %+v, want %s with serial %s", s.Name, t, token.Name,
			secret.Annotations[v1alpha1.AnnotationSerial])
	}
	if names.Token(string(s.UID), t.Serial) != token.Name {
		return fmt.Errorf("session %s: serial %d stands for %s", s.Name, t.Serial, token.Name)
	}
	return errors.Join(checkSecretStatus(s, secret), checkNoPendingRevocation(s))
}

func checkSecretStatus(s *v1alpha1.CoderSession, secret *corev1.Secret) error {
	m := s.Status.Secret
	if m == nil || m.Name != secret.Name || m.ResourceVersion != secret.ResourceVersion ||
		m.Fingerprint != session.ShortFingerprint(secret.Annotations[v1alpha1.AnnotationFingerprint]) {
		return fmt.Errorf("session %s: status has Secret %+v, the Secret has version %s", s.Name, m, secret.ResourceVersion)
	}
	return nil
}

func checkNoPendingRevocation(s *v1alpha1.CoderSession) error {
	if len(s.Status.PendingRevocations) > 0 {
		return fmt.Errorf("session %s: retiring is %+v", s.Name, s.Status.PendingRevocations)
	}
	return nil
}

// holdsValue: the Secret publishes this value (empty: no token), nothing was minted for
// the session, and status says so.
func (w *crashEnv) holdsValue(name string, value func() string) wait.Check {
	return func(ctx context.Context) error {
		s, secret := &v1alpha1.CoderSession{}, &corev1.Secret{}
		if err := errors.Join(w.Get(ctx, name, s), w.Get(ctx, name, secret)); err != nil {
			return err
		}
		if err := testenv.CheckReady(s, metav1.ConditionTrue, v1alpha1.ReasonActive); err != nil {
			return err
		}
		want := value()
		if string(secret.Data["session"]) != want || string(secret.Data["CODER_SESSION_TOKEN"]) != want {
			return fmt.Errorf("secret %s does not hold the token that was supplied last", name)
		}
		if id, _, _ := strings.Cut(want, "-"); want != "" && (s.Status.Token == nil || s.Status.Token.ID != id) {
			return fmt.Errorf("session %s: status has token %+v, want %s", name, s.Status.Token, id)
		}
		if live := w.LiveTokens(names.SessionPrefix(string(s.UID))); len(live) > 0 || s.Status.Suspension != nil {
			return fmt.Errorf("session %s: live tokens %s, suspension %+v", name, describeTokens(live), s.Status.Suspension)
		}
		return errors.Join(checkSecretStatus(s, secret), checkNoPendingRevocation(s))
	}
}

// hasSerial: the session publishes a token with exactly this serial.
func (w *crashEnv) hasSerial(name string, want int64) wait.Check {
	return func(ctx context.Context) error {
		s := &v1alpha1.CoderSession{}
		if err := w.Get(ctx, name, s); err != nil {
			return err
		}
		if s.Status.Token == nil || s.Status.Token.Serial < want {
			return fmt.Errorf("session %s publishes %+v, want serial %d or above", name, s.Status.Token, want)
		}
		return nil
	}
}

// isGone: there is no such object, and none of the session's tokens.
func (w *crashEnv) isGone(session *v1alpha1.CoderSession) wait.Check {
	return func(ctx context.Context) error {
		for what, object := range map[string]client.Object{"session": &v1alpha1.CoderSession{}, "Secret": &corev1.Secret{}} {
			if err := w.Get(ctx, session.Name, object); err == nil {
				return fmt.Errorf("%s %s is still there", what, session.Name)
			} else if client.IgnoreNotFound(err) != nil {
				return err
			}
		}
		if live := w.LiveTokens(names.SessionPrefix(string(session.UID))); len(live) > 0 {
			return fmt.Errorf("tokens %s outlive their session", describeTokens(live))
		}
		return nil
	}
}

// isAccepted: whatever the Secret publishes now, the server accepts (B42).
func (w *crashEnv) isAccepted(name string) wait.Check {
	return func(ctx context.Context) error {
		secret := &corev1.Secret{}
		if err := w.Get(ctx, name, secret); err != nil {
			return err
		}
		if !w.Coder.AcceptsToken(string(secret.Data["session"])) {
			return fmt.Errorf("secret %s publishes token %s, which the server does not accept", name,
				secret.Annotations[v1alpha1.AnnotationTokenID])
		}
		return nil
	}
}

// checkOthersUntouched: other sessions and other people's tokens are as they were (B45), and
// there is no token of this cluster beyond those of its sessions.
func (w *crashEnv) checkOthersUntouched(ctx context.Context) error {
	for _, value := range w.foreign {
		if !w.Coder.AcceptsToken(value) {
			return fmt.Errorf("token %s of another user was revoked", value[:10])
		}
	}
	if was := w.bystander; was != nil {
		now := &corev1.Secret{}
		if err := errors.Join(w.Get(ctx, was.Name, now), w.oneToken(was.Name)(ctx)); err != nil {
			return err
		}
		if now.ResourceVersion != was.ResourceVersion {
			return fmt.Errorf("secret %s of another session was written", was.Name)
		}
	}
	var list v1alpha1.CoderSessionList
	if err := w.Client.List(ctx, &list, client.InNamespace(w.Namespace)); err != nil {
		return err
	}
	claimed := map[string]bool{}
	var deployments v1alpha1.CoderDeploymentList
	if err := w.Client.List(ctx, &deployments, client.InNamespace(w.Namespace)); err != nil {
		return err
	}
	for i := range deployments.Items { // tokens that the operator renews for itself
		claimed[names.SessionPrefix(string(deployments.Items[i].UID))] = true
	}
	for i := range list.Items {
		claimed[names.SessionPrefix(string(list.Items[i].UID))] = true
	}
	strays := slices.DeleteFunc(w.LiveTokens(names.Prefix()), func(key coderd.Key) bool {
		prefix, _ := names.SessionPrefixOf(key.Name)
		return claimed[prefix]
	})
	if len(strays) > 0 {
		return fmt.Errorf("no session claims the tokens %s; sessions have %v", describeTokens(strays),
			slices.Collect(maps.Keys(claimed)))
	}
	return nil
}

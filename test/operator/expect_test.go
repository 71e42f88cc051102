// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// check says what is not yet so.
type check func(context.Context) error

// eventually waits until all checks hold at one time.
func (w *world) eventually(checks ...check) {
	w.t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(w.t.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = nil
		for _, c := range checks {
			last = errors.Join(last, c(ctx))
		}
		return last == nil, nil
	})
	if err != nil {
		w.t.Fatalf("still not so after %s: %v\nwhat the server was asked:\n%s", patience, last, w.recent())
	}
}

// throughout watches for a while that checks hold all the time.
func (w *world) throughout(d time.Duration, checks ...check) {
	w.t.Helper()
	_ = wait.PollUntilContextTimeout(w.t.Context(), 10*time.Millisecond, d, true, func(context.Context) (bool, error) {
		for _, c := range checks {
			if err := c(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
		}
		return false, nil
	})
}

func (w *world) getSession(ctx context.Context, name string) (*v1alpha1.CoderSession, error) {
	s := &v1alpha1.CoderSession{}
	return s, w.client.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, s)
}

func (w *world) getDeployment(ctx context.Context, name string) (*v1alpha1.CoderDeployment, error) {
	d := &v1alpha1.CoderDeployment{}
	return d, w.client.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, d)
}

func (w *world) getSecret(ctx context.Context, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	return s, w.client.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, s)
}

// now reads things that must be there.
func (w *world) nowSession(name string) *v1alpha1.CoderSession {
	w.t.Helper()
	s, err := w.getSession(w.t.Context(), name)
	w.must(err)
	return s
}

func (w *world) nowSecret(name string) *corev1.Secret {
	w.t.Helper()
	s, err := w.getSecret(w.t.Context(), name)
	w.must(err)
	return s
}

func conditionIs(of string, conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason, fragment string) error {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil {
		return fmt.Errorf("%s has no condition %s", of, kind)
	}
	if c.Status != status || c.Reason != reason || !strings.Contains(c.Message, fragment) {
		return fmt.Errorf("%s: %s is %s (%s: %s), not %s (%s: ...%s...)", of, kind, c.Status, c.Reason, c.Message, status, reason, fragment)
	}
	return nil
}

func (w *world) sessionIs(name, kind string, status metav1.ConditionStatus, reason, fragment string) check {
	return func(ctx context.Context) error {
		s, err := w.getSession(ctx, name)
		if err != nil {
			return err
		}
		return conditionIs("session "+name, s.Status.Conditions, kind, status, reason, fragment)
	}
}

// ready: the session is Active and its Secret holds a token that the server
// accepts, or none where none is wanted.
func (w *world) ready(name string) check {
	return func(ctx context.Context) error {
		s, err := w.getSession(ctx, name)
		if err != nil {
			return err
		}
		if s.Status.ObservedGeneration != s.Generation {
			return fmt.Errorf("session %s: generation %d is not observed", name, s.Generation)
		}
		if err := conditionIs("session "+name, s.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonActive, ""); err != nil {
			return err
		}
		secret, err := w.getSecret(ctx, s.SecretName())
		if err != nil {
			return err
		}
		if value := string(secret.Data["session"]); s.Spec.Auth.Certificate == nil && value != "" && !w.coder.AcceptsToken(value) {
			return fmt.Errorf("session %s: the server does not accept the token in the Secret", name)
		}
		return nil
	}
}

// notReady: Ready is False for the reason, and its message has the fragment.
func (w *world) notReady(name, reason, fragment string) check {
	return w.sessionIs(name, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, fragment)
}

func (w *world) deploymentIs(name, kind string, status metav1.ConditionStatus, reason, fragment string) check {
	return func(ctx context.Context) error {
		d, err := w.getDeployment(ctx, name)
		if err != nil {
			return err
		}
		return conditionIs("deployment "+name, d.Status.Conditions, kind, status, reason, fragment)
	}
}

func (w *world) verified(name string) check {
	return w.deploymentIs(name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonVerified, "")
}

// liveTokens: the server has so many live tokens that the operator minted.
func (w *world) liveTokens(want int) check {
	return func(context.Context) error {
		live := w.minted()
		if len(live) != want {
			return fmt.Errorf("%d live minted tokens on the server, want %d", len(live), want)
		}
		return nil
	}
}

func (w *world) minted() []coderd.Key {
	return w.coder.Keys(coderd.KeyFilter{NamePrefix: "cso-", Live: true})
}

// counts of what was asked of the Coder server.
func (w *world) verifications() int { return w.coder.Count("GET", "/api/v2/buildinfo") }
func (w *world) mints() int         { return w.coder.Count("POST", "/api/v2/users/{user}/keys/tokens") }

// changeSession edits a session's spec as a user would.
func (w *world) changeSession(name string, change func(*v1alpha1.CoderSession)) {
	w.t.Helper()
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.write(s, func() { change(s) })
}

func (w *world) changeDeployment(name string, change func(*v1alpha1.CoderDeployment)) {
	w.t.Helper()
	d := &v1alpha1.CoderDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.write(d, func() { change(d) })
}

// recent lists the latest requests to the Coder server.
func (w *world) recent() string {
	requests := w.coder.Requests()
	var text strings.Builder
	for _, r := range requests[max(0, len(requests)-20):] {
		fmt.Fprintf(&text, "%s %s %s by %s: %d\n", r.Time.Format("05.000"), r.Method, r.Path, r.Username, r.Status)
	}
	return text.String()
}

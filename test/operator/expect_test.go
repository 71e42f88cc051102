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

// Eventually waits until all checks hold at one time.
func (w *operatorEnv) Eventually(checks ...check) {
	w.T.Helper()
	var last error
	err := wait.PollUntilContextTimeout(w.T.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = nil
		for _, c := range checks {
			last = errors.Join(last, c(ctx))
		}
		return last == nil, nil
	})
	if err != nil {
		w.T.Fatalf("still not so after %s: %v\nwhat the server was asked:\n%s", patience, last, w.recentRequests())
	}
}

// Throughout watches for a while that checks hold all the time.
func (w *operatorEnv) Throughout(d time.Duration, checks ...check) {
	w.T.Helper()
	_ = wait.PollUntilContextTimeout(w.T.Context(), 10*time.Millisecond, d, true, func(context.Context) (bool, error) {
		for _, c := range checks {
			if err := c(w.T.Context()); err != nil {
				w.T.Fatal(err)
			}
		}
		return false, nil
	})
}

func (w *operatorEnv) GetSession(ctx context.Context, name string) (*v1alpha1.CoderSession, error) {
	s := &v1alpha1.CoderSession{}
	return s, w.Client.Get(ctx, types.NamespacedName{Namespace: w.Namespace, Name: name}, s)
}

func (w *operatorEnv) GetDeployment(ctx context.Context, name string) (*v1alpha1.CoderDeployment, error) {
	d := &v1alpha1.CoderDeployment{}
	return d, w.Client.Get(ctx, types.NamespacedName{Namespace: w.Namespace, Name: name}, d)
}

func (w *operatorEnv) GetSecret(ctx context.Context, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	return s, w.Client.Get(ctx, types.NamespacedName{Namespace: w.Namespace, Name: name}, s)
}

// now reads things that must be there.
func (w *operatorEnv) CurrentSession(name string) *v1alpha1.CoderSession {
	w.T.Helper()
	s, err := w.GetSession(w.T.Context(), name)
	w.Must(err)
	return s
}

func (w *operatorEnv) CurrentSecret(name string) *corev1.Secret {
	w.T.Helper()
	s, err := w.GetSecret(w.T.Context(), name)
	w.Must(err)
	return s
}

func CheckCondition(of string, conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason, fragment string) error {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil {
		return fmt.Errorf("%s has no condition %s", of, kind)
	}
	if c.Status != status || c.Reason != reason || !strings.Contains(c.Message, fragment) {
		return fmt.Errorf("%s: %s is %s (%s: %s), not %s (%s: ...%s...)", of, kind, c.Status, c.Reason, c.Message, status, reason, fragment)
	}
	return nil
}

func (w *operatorEnv) SessionIs(name, kind string, status metav1.ConditionStatus, reason, fragment string) check {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
		if err != nil {
			return err
		}
		return CheckCondition("session "+name, s.Status.Conditions, kind, status, reason, fragment)
	}
}

// IsReady: the session is Active and its Secret holds a token that the server
// accepts, or none where none is wanted.
func (w *operatorEnv) IsReady(name string) check {
	return func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
		if err != nil {
			return err
		}
		if s.Status.ObservedGeneration != s.Generation {
			return fmt.Errorf("session %s: generation %d is not observed", name, s.Generation)
		}
		if err := CheckCondition("session "+name, s.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonActive, ""); err != nil {
			return err
		}
		secret, err := w.GetSecret(ctx, s.SecretName())
		if err != nil {
			return err
		}
		if value := string(secret.Data["session"]); s.Spec.Auth.Certificate == nil && value != "" && !w.Coder.AcceptsToken(value) {
			return fmt.Errorf("session %s: the server does not accept the token in the Secret", name)
		}
		return nil
	}
}

// IsNotReady: Ready is False for the reason, and its message has the fragment.
func (w *operatorEnv) IsNotReady(name, reason, fragment string) check {
	return w.SessionIs(name, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, fragment)
}

func (w *operatorEnv) DeploymentIs(name, kind string, status metav1.ConditionStatus, reason, fragment string) check {
	return func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, name)
		if err != nil {
			return err
		}
		return CheckCondition("deployment "+name, d.Status.Conditions, kind, status, reason, fragment)
	}
}

func (w *operatorEnv) IsVerified(name string) check {
	return w.DeploymentIs(name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonVerified, "")
}

// hasLiveTokens: the server has so many live tokens that the operator minted.
func (w *operatorEnv) hasLiveTokens(want int) check {
	return func(context.Context) error {
		live := w.mintedTokens()
		if len(live) != want {
			return fmt.Errorf("%d live minted tokens on the server, want %d", len(live), want)
		}
		return nil
	}
}

func (w *operatorEnv) mintedTokens() []coderd.Key {
	return w.Coder.Keys(coderd.KeyFilter{NamePrefix: "cso-", Live: true})
}

// counts of what was asked of the Coder server.
func (w *operatorEnv) countVerifications() int { return w.Coder.Count("GET", "/api/v2/buildinfo") }
func (w *operatorEnv) countMints() int {
	return w.Coder.Count("POST", "/api/v2/users/{user}/keys/tokens")
}

// EditSession edits a session's spec as a user would.
func (w *operatorEnv) EditSession(name string, change func(*v1alpha1.CoderSession)) {
	w.T.Helper()
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
	w.Write(s, func() { change(s) })
}

func (w *operatorEnv) EditDeployment(name string, change func(*v1alpha1.CoderDeployment)) {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
	w.Write(d, func() { change(d) })
}

// recentRequests lists the latest requests to the Coder server.
func (w *operatorEnv) recentRequests() string {
	requests := w.Coder.Requests()
	var text strings.Builder
	for _, r := range requests[max(0, len(requests)-20):] {
		fmt.Fprintf(&text, "%s %s %s by %s: %d\n", r.Time.Format("05.000"), r.Method, r.Path, r.Username, r.Status)
	}
	return text.String()
}

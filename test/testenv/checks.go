// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// Condition is what a condition should be.
type Condition struct {
	Type   string
	Status metav1.ConditionStatus
	Reason string
	// Fragment of the message; empty: any message.
	Fragment string
}

// Check says how the conditions of an object differ.
func (c Condition) Check(object string, conditions []metav1.Condition) error {
	found := meta.FindStatusCondition(conditions, c.Type)
	if found == nil {
		return fmt.Errorf("%s has no condition %s", object, c.Type)
	}
	if found.Status != c.Status || found.Reason != c.Reason || !strings.Contains(found.Message, c.Fragment) {
		return fmt.Errorf("%s: %s is %s (%s: %s), not %s (%s: ...%s...)", object, c.Type,
			found.Status, found.Reason, found.Message, c.Status, c.Reason, c.Fragment)
	}
	return nil
}

// SessionIs looks at a condition of a session.
func (e *Env) SessionIs(name, kind string, status metav1.ConditionStatus, reason, fragment string) wait.Check {
	return func(ctx context.Context) error {
		s, err := e.GetSession(ctx, name)
		if err != nil {
			return err
		}
		return Condition{kind, status, reason, fragment}.Check("session "+name, s.Status.Conditions)
	}
}

// SessionHasNo looks whether a session has no condition of a type, as of most while nothing is wrong.
func (e *Env) SessionHasNo(name, kind string) wait.Check {
	return func(ctx context.Context) error {
		s, err := e.GetSession(ctx, name)
		if err != nil {
			return err
		}
		if found := meta.FindStatusCondition(s.Status.Conditions, kind); found != nil {
			return fmt.Errorf("session %s: %s is %s (%s: %s)", name, kind, found.Status, found.Reason, found.Message)
		}
		return nil
	}
}

// IsReady looks whether the session is Active for its present spec, and its Secret holds a token
// that the server accepts, or none where none is wanted.
func (e *Env) IsReady(name string) wait.Check {
	return func(ctx context.Context) error {
		s, err := e.GetSession(ctx, name)
		if err != nil {
			return err
		}
		if err := CheckReady(s, metav1.ConditionTrue, v1alpha1.ReasonActive); err != nil {
			return err
		}
		secret, err := e.GetSecret(ctx, s.SecretName())
		if err != nil {
			return err
		}
		value := string(secret.Data["session"])
		if s.Spec.Auth.Certificate == nil && value != "" && !e.Coder.AcceptsToken(value) {
			return fmt.Errorf("session %s: the server does not accept the token in the Secret", name)
		}
		return nil
	}
}

// CheckReady says how a session's Ready condition differs, for its present spec.
func CheckReady(s *v1alpha1.CoderSession, status metav1.ConditionStatus, reason string) error {
	if s.Status.ObservedGeneration != s.Generation {
		return fmt.Errorf("session %s: generation %d is not observed, but %d",
			s.Name, s.Generation, s.Status.ObservedGeneration)
	}
	ready := Condition{Type: v1alpha1.ConditionReady, Status: status, Reason: reason}
	return ready.Check("session "+s.Name, s.Status.Conditions)
}

// IsNotReady looks whether Ready is False for the reason, and its message has the fragment.
func (e *Env) IsNotReady(name, reason, fragment string) wait.Check {
	return e.SessionIs(name, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, fragment)
}

// DeploymentIs looks at a condition of a deployment.
func (e *Env) DeploymentIs(name, kind string, status metav1.ConditionStatus, reason, fragment string) wait.Check {
	return func(ctx context.Context) error {
		d, err := e.GetDeployment(ctx, name)
		if err != nil {
			return err
		}
		return Condition{kind, status, reason, fragment}.Check("deployment "+name, d.Status.Conditions)
	}
}

// IsVerified looks whether the Coder server has accepted a deployment's settings.
func (e *Env) IsVerified(name string) wait.Check {
	return e.DeploymentIs(name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonVerified, "")
}

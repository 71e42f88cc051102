// SPDX-License-Identifier: Apache-2.0

package session

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

// alive reports whether the Secret holds a credential that has not ended.
func (o Observation) alive() bool {
	if !o.Secret.Exists || o.Secret.ValueGone {
		return false
	}
	token := o.Secret.Token
	if token == nil {
		return o.Session.Spec.Auth.Mint == nil && o.Secret.Corrupt == ""
	}
	return token.ExpiresAt.IsZero() || o.serverNow().Before(token.ExpiresAt)
}

// rateLimited is said instead of the server's words, which count seconds: a message
// that changes with every pass would be written with every pass.
const rateLimited = "the rate limit leaves no room now; it is tried again by itself"

// explain is a verdict's message without changing times in it.
func explain(v authcheck.Result) string {
	if v.Reason == v1alpha1.ReasonRateLimited {
		return rateLimited
	}
	return v.Message
}

// keepReadyWhileUnavailable is the plan where nothing can be done now: a credential that is still
// good stays Ready, and what the session said of itself before still stands. A
// session without one is not ready for the reason given.
func keepReadyWhileUnavailable(o Observation, reason, unknown, message string) Plan {
	p := notReady(reason, message)
	if o.alive() {
		p.set(v1alpha1.ConditionAuthenticated, metav1.ConditionUnknown, cmp.Or(unknown, reason), message)
		was := meta.FindStatusCondition(o.Session.Status.Conditions, v1alpha1.ConditionReady)
		if was != nil && (was.Status == metav1.ConditionTrue || was.Reason == v1alpha1.ReasonSuspended) {
			p.set(v1alpha1.ConditionReady, was.Status, was.Reason, was.Message)
			p.Suspension = o.Session.Status.Suspension
		}
		if token := o.Secret.Token; token != nil && !token.ExpiresAt.IsZero() {
			p.wakeAt(token.ExpiresAt.Add(-o.Skew))
		}
	} else {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionAuthenticated)
	}
	saySynced(o, &p)
	p.wakeAt(o.Now.Add(o.Deployment.interval()))
	return p
}

// saySynced sets SecretSynced where there is something to say.
func saySynced(o Observation, p *Plan) {
	switch {
	case o.Secret.Corrupt != "":
		p.set(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonReferenceInvalid,
			fmt.Sprintf("Secret %q: %s; its token is taken for absent", o.Session.SecretName(), o.Secret.Corrupt))
	case o.Secret.Exists && o.Secret.InSync:
		p.set(v1alpha1.ConditionSecretSynced, metav1.ConditionTrue, v1alpha1.ReasonSynced,
			fmt.Sprintf("Secret %q is as it should be", o.Session.SecretName()))
	case !o.Secret.Exists:
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionSecretSynced)
	}
}

// suspended is the plan for a credential that the server refuses. It always has
// a wake-up (B09); the Secret keeps its last contents.
func suspended(o Observation, reason, message string) Plan {
	p := notReady(v1alpha1.ReasonSuspended, message)
	p.set(v1alpha1.ConditionAuthenticated, metav1.ConditionFalse, reason, message)
	p.Suspension = &v1alpha1.Suspension{Reason: reason, Message: message, StartTime: *stamp(o.Now)}
	if was := o.Session.Status.Suspension; was != nil && was.Reason == reason {
		p.Suspension.StartTime = was.StartTime
	}
	saySynced(o, &p)
	p.RequeueAt = o.Now.Add(o.Deployment.interval())
	return p
}

// active is the plan for a credential that is accepted and published.
func active(o Observation, user *v1alpha1.SessionUser) Plan {
	var p Plan
	name := "the caller"
	if user != nil {
		name = fmt.Sprintf("user %q", user.Username)
	}
	p.User = user
	p.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonActive,
		fmt.Sprintf("Secret %q holds a credential of %s that the server accepts", o.Session.SecretName(), name))
	p.set(v1alpha1.ConditionAuthenticated, metav1.ConditionTrue, v1alpha1.ReasonAccepted,
		fmt.Sprintf("the server knows the holder as %s", name))
	saySynced(o, &p)
	return p
}

// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// Contention describes another writer of the generated Secret who changes it whenever the operator has
// restored it. The zero value is none. It may be lost at any time.
type Contention struct {
	// Count is how often in a row the Secret was restored, Time when that was last.
	Count int
	Time  time.Time
	// Writer is the field manager of the other writer; empty: unknown.
	Writer string
	// Deletes is true if the other writer deletes the Secret.
	Deletes bool
}

// contentionRest is added to how long a Secret has to stay unchanged until the contention counts as
// over.
const contentionRest = time.Minute

// Restored returns the contention after the Secret was restored.
func (c Contention) Restored(now time.Time, writer string, interval time.Duration) Contention {
	if c.isOver(now, interval) {
		c = Contention{}
	}
	return Contention{Count: c.Count + 1, Time: now, Writer: writer}
}

// retryTime is when the Secret may be restored again.
func (c Contention) retryTime(interval time.Duration) time.Time {
	if c.Count == 0 {
		return time.Time{}
	}
	return c.Time.Add(failure.Backoff(c.Count, interval))
}

// overTime is when the contention is over if the Secret stays unchanged.
func (c Contention) overTime(interval time.Duration) time.Time {
	return c.Time.Add(2*failure.Backoff(c.Count, interval) + contentionRest)
}

func (c Contention) isOver(now time.Time, interval time.Duration) bool {
	return c.Count == 0 || !now.Before(c.overTime(interval))
}

// isRepeated reports whether the Secret was restored more than once in a row.
func (c Contention) isRepeated(now time.Time, interval time.Duration) bool {
	return c.Count > 1 && !c.isOver(now, interval)
}

// awaitOtherWriter replaces a plan that would act against another writer of the generated Secret by
// one that waits, with backoff, and says who it is (B113). The credential and the workloads stay as
// they are.
func awaitOtherWriter(o Observation, p Plan) Plan {
	s, interval := o.Secret, o.Deployment.VerifyInterval()
	retry := s.Contention.retryTime(interval)
	if !s.isAgainstOther(p.Action) || !o.Now.Before(retry) {
		return p
	}
	message := contentionMessage(o)
	held := notReady(v1alpha1.ReasonSecretModified, message)
	if o.hasLiveCredential() && (p.Action == Publish || !s.Unconfirmed) {
		keepReady(o, &held)
	}
	held.setCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonSecretModified, message)
	held.requeueBy(retry)
	return held
}

// isAgainstOther reports whether an action answers what another writer has done to the Secret: it is
// written, or its token is looked at or replaced.
func (s Secret) isAgainstOther(action Action) bool {
	switch action {
	case Publish:
		return s.Modified || s.Deleted
	case CheckCredential:
		return s.Modified && s.Unconfirmed
	case Mint, TryPublish:
		return s.TakenAway()
	default:
		return false
	}
}

// TakenAway reports whether another writer has taken the last minted token out of the Secret, has
// written a value with its id that has to be replaced, or has deleted the Secret.
func (s Secret) TakenAway() bool {
	return s.PutBack || s.Deleted || s.Modified && (s.ValueGone || s.Unconfirmed)
}

// setContentionCondition keeps SecretSynced=False while another writer changes the Secret again and
// again, also right after it was restored, so that the condition does not change with every write.
func setContentionCondition(o Observation, p *Plan) {
	c, interval := o.Secret.Contention, o.Deployment.VerifyInterval()
	if p.Action != Nothing || !o.Secret.Exists || !c.isRepeated(o.Now, interval) {
		return
	}
	p.setCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonSecretModified,
		contentionMessage(o))
	p.requeueBy(c.overTime(interval))
}

func contentionMessage(o Observation) string {
	writer := "another writer"
	if name := o.Secret.Contention.Writer; name != "" {
		writer = fmt.Sprintf("field manager %q", name)
	}
	change := "changes"
	if o.Secret.Contention.Deletes {
		change = "deletes"
	}
	return fmt.Sprintf("%s %s Secret %q whenever the operator has restored it: stop it, or give the session "+
		"another secret.name", writer, change, o.Session.SecretName())
}

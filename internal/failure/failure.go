// SPDX-License-Identifier: Apache-2.0

package failure

import (
	"slices"
	"time"
)

// Class is what a failed action waits for.
type Class int

const (
	// Transient failures are trouble of the Coder server, or of the way to it. They are retried
	// with backoff.
	Transient Class = iota
	// Wait failures are retried after Failure.RetryAfter.
	Wait
	// ConfigChanging failures happened while the deployment's settings were changing. They say
	// nothing, and are forgotten at the end of the pass.
	ConfigChanging
	// Config failures wait for a person to change something; they are retried once in an interval.
	Config
	// Denied failures are about the operator's own credential; they are retried once in an interval.
	Denied
	// AccessDenied failures are about an access rule that the server cannot keep: the session may not
	// have a credential. They are retried once in an interval.
	AccessDenied
	// Refused failures are refusals of the API server: a quota, a policy, a missing right, an
	// invalid or too large object. They are retried with backoff, because nothing tells when the
	// cause is gone.
	Refused
	// Unavailable failures are trouble of the API server: no answer, overload, an internal error.
	// They are retried with backoff.
	Unavailable
)

// Failure is an action that failed.
type Failure struct {
	// Action that failed, an Action of internal/session or internal/deployment, or one of the
	// loop's own, such as [Observe].
	Action string
	Class  Class
	// Reason for the conditions, one of api/v1alpha1; empty if the class is enough.
	Reason string
	// Message is for people. It holds no credentials.
	Message string
	// RetryAfter is how long the server asked to wait, for Wait; zero: it did not say.
	RetryAfter time.Duration
	// RetryTime is when the action may be tried again.
	RetryTime time.Time
}

// Observe is the name of the step that reads what a decision is based on. Observations that failed
// are incomplete.
const Observe = "Observe"

// FromAPIServer reports whether the API server failed or refused, and not the Coder server.
func (f Failure) FromAPIServer() bool { return f.Class == Refused || f.Class == Unavailable }

// IsFinal reports whether the failure says what a person has to change, or that nothing failed (nil).
// Others may pass.
func (f *Failure) IsFinal() bool {
	return f == nil || f.Class == Config || f.Class == Denied || f.Class == AccessDenied
}

// Set holds the failures of one object that are not to be retried yet, at most one per action. The
// zero value holds none. It must not be changed after it was handed out.
type Set []Failure

// Of returns the failure of one of the actions, the last one if there are several; nil: none of
// them failed.
func (s Set) Of(actions ...string) *Failure {
	for i := len(s) - 1; i >= 0; i-- {
		if slices.Contains(actions, s[i].Action) {
			return &s[i]
		}
	}
	return nil
}

const (
	// firstDelay follows the first failure in a row; each further failure doubles it.
	firstDelay = time.Second
	// doublings is high enough to exceed every interval, and low enough not to overflow.
	doublings = 16
)

// Backoff is how long to wait after so many failures in a row, including this one: it doubles from
// a second up to the limit. It is longer than zero for every positive limit.
func Backoff(failures int, limit time.Duration) time.Duration {
	if n := max(failures-1, 0); n < doublings {
		return min(limit, firstDelay<<n)
	}
	return limit
}

// SPDX-License-Identifier: Apache-2.0

package authcheck

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// Outcome is the kind of a result. Its zero value is Unknown.
type Outcome int

const (
	// Unknown means that the server was not asked yet.
	Unknown Outcome = iota
	// Accepted means that the server identified the caller and accepted it.
	Accepted
	// Rejected means that the server answered and refused. Asking again with the same settings only
	// probes whether that has changed.
	Rejected
	// Unreachable means that there was no answer about the caller.
	Unreachable
	// ConfigChanging means that the settings changed while the server was asked. The answer is
	// ignored, whatever it was.
	ConfigChanging
)

// Result is an outcome with its details. The zero value is Unknown.
type Result struct {
	Outcome Outcome
	// Reason is one of the reasons in api/v1alpha1; empty for Accepted.
	Reason string
	// Message is for people. It holds no credentials.
	Message string
	// Cause is why the server refuses a token, in its own words, for a message that names the token.
	// Empty: it did not say, or refuses something else.
	Cause string
	// RetryAfter is how long the server asked to wait; zero: it did not.
	RetryAfter time.Duration
	// AboutCaller is true if a refusal is about the caller's own credential or certificate, not
	// about the object that was asked for.
	AboutCaller bool
	// NotFromServer is true if the answer is not one of a Coder server, such as a proxy's page or a
	// redirect. It says nothing about the caller, and may be over at any moment.
	NotFromServer bool
}

// OK reports whether the server accepted the caller.
func (r Result) OK() bool { return r.Outcome == Accepted }

// Backoff is how long to wait after so many failures in a row, including this one: it doubles from
// a second up to the interval, and is never shorter than the server asked for (B52). It is longer
// than zero for every positive interval.
func (r Result) Backoff(failures int, interval time.Duration) time.Duration {
	return max(failure.Backoff(failures, interval), r.RetryAfter)
}

// longestProbe is the longest time between two questions to a server that gave no answer about the
// caller, so that its recovery is noticed within seconds.
const longestProbe = 30 * time.Second

// IsProbed reports whether there was no answer about the caller: the server is asked again with
// backoff, see [Result.ProbeDelay], although nothing has changed.
func (r Result) IsProbed() bool { return r.Outcome == Unreachable || r.NotFromServer }

// ProbeDelay is [Result.Backoff] up to 30 s, or up to the interval if that is shorter.
func (r Result) ProbeDelay(failures int, interval time.Duration) time.Duration {
	return r.Backoff(failures, min(interval, longestProbe))
}

// SPDX-License-Identifier: Apache-2.0

// Package authcheck is the vocabulary in which the outcome of asking the server
// travels: from the connection that asked, through the pure decisions, into
// conditions. It also owns how long to wait before a server that gave no answer is
// asked again. It owns no mapping; internal/connection translates the client's
// errors.
package authcheck

import "time"

// Outcome is what asking the server came to. Its zero value says that nobody
// has asked.
type Outcome int

const (
	// Unknown means that nobody has asked yet.
	Unknown Outcome = iota
	// Accepted means that the server knows the caller and let it in.
	Accepted
	// Rejected means that the server answered, and not with yes. Asking again with
	// the same settings is only a probe.
	Rejected
	// Unreachable means that there was no answer that says anything about the
	// caller.
	Unreachable
	// ConfigChanging means that the answer was given to settings that are changing. It
	// is not believed, whatever it was.
	ConfigChanging
)

// Result is an outcome with its words. The zero value is Unasked.
type Result struct {
	Outcome Outcome
	// Reason is one of the reasons in api/v1alpha1; empty for Accepted.
	Reason string
	// Message is for people. It holds no credentials.
	Message string
	// RetryAfter is how long the server asked to be left alone; zero: it did not.
	RetryAfter time.Duration
	// AboutCaller says that a refusal is about the caller's own credential or certificate,
	// not about the object that was asked for.
	AboutCaller bool
}

// OK reports whether the server accepted.
func (v Result) OK() bool { return v.Outcome == Accepted }

const (
	// firstPause follows the first failure in a row; each further one doubles it.
	firstPause = time.Second
	// doublings after which every interval is exceeded, and before which nothing
	// overflows.
	doublings = 16
)

// Backoff is how long to wait after so many failures in a row, this one included:
// doubling from a second up to the interval, and never shorter than the server
// asked for (B52). It is longer than zero for every positive interval.
func (v Result) Backoff(failures int, interval time.Duration) time.Duration {
	pause := interval
	if n := max(failures-1, 0); n < doublings {
		pause = min(interval, firstPause<<n)
	}
	return max(pause, v.RetryAfter)
}

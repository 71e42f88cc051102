// Package verdict is the vocabulary in which the outcome of asking the server
// travels: from the connection that asked, through the pure decisions, into
// conditions. It owns no mapping; internal/connection translates the client's
// errors.
package verdict

import "time"

// Outcome is what asking the server came to. Its zero value says that nobody
// has asked.
type Outcome int

const (
	// Unasked: nobody has asked yet.
	Unasked Outcome = iota
	// Accepted: the server knows the caller and let it in.
	Accepted
	// Refused: the server answered, and not with yes. Asking again with the same
	// settings is only a probe.
	Refused
	// Unreachable: there was no answer that says anything about the caller.
	Unreachable
	// Unsettled: the answer was given to settings that are changing. It is not
	// believed, whatever it was.
	Unsettled
)

// Verdict is an outcome with its words. The zero value is Unasked.
type Verdict struct {
	Outcome Outcome
	// Reason is one of the reasons in api/v1alpha1; empty for Accepted.
	Reason string
	// Message is for people. It holds no credentials.
	Message string
	// RetryAfter is how long the server asked to be left alone; zero: it did not.
	RetryAfter time.Duration
	// Own says that a refusal is about the caller's own credential or certificate,
	// not about the object that was asked for.
	Own bool
}

// OK reports whether the server accepted.
func (v Verdict) OK() bool { return v.Outcome == Accepted }

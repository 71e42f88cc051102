// SPDX-License-Identifier: Apache-2.0

package serving

import "time"

// step is what is to be done to the Secret.
type step string

const (
	// keep: nothing, until the time that comes with it.
	keep step = "keep"
	// start: make a certificate and serve it at once, because there is none that could be served.
	start step = "start"
	// stage: make the next certificate, to be trusted and not yet served.
	stage step = "stage"
	// promote: serve the next certificate.
	promote step = "promote"
)

// policy says when certificates are renewed.
type policy struct {
	hosts               []string
	lifetime            time.Duration
	renewBefore, settle time.Duration
}

// decide returns the step to take now and, with keep, how long nothing has to be done. It is a pure function. trustedFor is how long
// the API server is known to have been told of all authorities; negative: it has not been.
//
//	no usable certificate ──► start, or promote where the next one is usable
//	renewal due, no usable next ──► stage ──► trusted for the settling time ──► promote
func (p policy) decide(s state, now time.Time, trustedFor time.Duration) (step, time.Duration) {
	usable := func(c *pair) bool { return c != nil && c.serves(p.hosts, s.trusted, now) }
	switch {
	case !usable(s.current) && usable(s.next):
		return promote, 0
	case !usable(s.current):
		return start, 0
	case s.next != nil && !usable(s.next), s.next == nil && !now.Before(p.renewal(s)):
		return stage, 0
	case s.next == nil:
		return keep, p.renewal(s).Sub(now)
	case trustedFor < 0:
		// As soon as the API server has been told it is looked at again; at the latest when nothing else is left.
		return keep, s.current.leaf().NotAfter.Sub(now)
	case trustedFor < p.settle:
		return keep, p.settle - trustedFor
	}
	return promote, 0
}

// renewal is when the current certificate is to be replaced.
func (p policy) renewal(s state) time.Time { return s.current.leaf().NotAfter.Add(-p.renewBefore) }

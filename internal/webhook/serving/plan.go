// SPDX-License-Identifier: Apache-2.0

package serving

import "time"

// step is the next change of the Secret.
type step string

const (
	// keep: nothing, for the duration that is returned with it.
	keep step = "keep"
	// start: create a certificate and serve it immediately, because there is no valid one.
	start step = "start"
	// stage: create the next certificate, which is trusted but not served yet.
	stage step = "stage"
	// promote: serve the next certificate.
	promote step = "promote"
)

// policy has the parameters of renewals.
type policy struct {
	hosts               []string
	lifetime            time.Duration
	renewBefore, settle time.Duration
}

// nextStep returns the step to take now and, with keep, how long nothing has to be done. It is a
// pure function. trustedFor is how long ago the API server was told of all authorities; negative:
// not yet.
//
//	no usable certificate ──► start, or promote where the next one is usable
//	renewal due, no usable next ──► stage ──► trusted for the settling time ──► promote
func (p policy) nextStep(s state, now time.Time, trustedFor time.Duration) (step, time.Duration) {
	usable := func(c *pair) bool { return c != nil && c.isValidFor(p.hosts, s.trusted, now) }
	switch {
	case !usable(s.current) && usable(s.next):
		return promote, 0
	case !usable(s.current):
		return start, 0
	case s.next != nil && !usable(s.next), s.next == nil && !now.Before(p.renewalTime(s)):
		return stage, 0
	case s.next == nil:
		return keep, p.renewalTime(s).Sub(now)
	case trustedFor < 0:
		// Publishing the bundle triggers another pass. This is the latest time for one.
		return keep, s.current.leaf().NotAfter.Sub(now)
	case trustedFor < p.settle:
		return keep, p.settle - trustedFor
	}
	return promote, 0
}

// renewalTime is when the current certificate has to be replaced.
func (p policy) renewalTime(s state) time.Time { return s.current.leaf().NotAfter.Add(-p.renewBefore) }

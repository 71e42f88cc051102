// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"maps"
	"time"
)

// lines are the callers of each namespace that were told when to come back. The namespace is that of
// whom the request is for; "" is the deployment itself, which never yields.
type lines map[string]*line

// line holds the callers of one namespace. They are not known: a caller that does not come back is
// passed over.
type line struct {
	// last is the last place of each priority.
	last [Urgent + 1]time.Duration
	// next is when a caller of the line is expected next, and spacing the time between two.
	next, spacing time.Duration
	// served counts tokens, as far as there were several lines.
	served int
}

// openLine returns the line of a namespace. Lines whose last caller was expected before are dropped.
func (b *bucket) openLine(now time.Duration, namespace string) *line {
	maps.DeleteFunc(b.lines, func(_ string, l *line) bool { return l.end() < now-earlyArrival })
	if own := b.lines[namespace]; own != nil {
		return own
	}
	own := &line{served: b.lines.fewest()}
	if b.lines == nil {
		b.lines = lines{}
	}
	b.lines[namespace] = own
	return own
}

// fewest is the lowest number of tokens that a line was served, so that a new one has no more credit
// than the others.
func (l lines) fewest() int {
	fewest, first := 0, true
	for _, each := range l {
		if first || each.served < fewest {
			fewest, first = each.served, false
		}
	}
	return fewest
}

// extend adds a place.
func (l *line) extend(priority Priority, place, spacing time.Duration) {
	if l.next == 0 || place < l.next {
		l.next = place
	}
	l.last[priority], l.spacing = place, spacing
}

// end is the last place of all priorities.
func (l *line) end() time.Duration { return max(l.last[Routine], l.last[First], l.last[Urgent]) }

// isExpected reports whether a caller of the line is expected before the token after the next one.
// Callers that did not come are passed over.
func (l *line) isExpected(now, interval time.Duration) bool {
	for l.next < now-earlyArrival && l.next <= l.end() {
		l.next += max(l.spacing, time.Millisecond)
	}
	return l.next <= now+max(interval, earlyArrival) && l.next <= l.end()
}

// mustYield reports whether a caller of a namespace has to leave the next token to another namespace,
// which was served less and expects one now (B131).
func (b *bucket) mustYield(now time.Duration, namespace string) bool {
	l := b.lines
	if namespace == "" {
		return false
	}
	served := l.fewest()
	if own := l[namespace]; own != nil {
		served = own.served
	}
	for name, other := range l {
		if name != namespace && other.served < served && other.isExpected(now, b.interval) {
			return true
		}
	}
	return false
}

// serve counts a token.
func (b *bucket) serve(now time.Duration, namespace string) {
	own := b.lines[namespace]
	if own == nil || len(b.lines) < 2 {
		return
	}
	own.served++
	if own.isExpected(now, b.interval) {
		own.next += max(own.spacing, time.Millisecond)
	}
}

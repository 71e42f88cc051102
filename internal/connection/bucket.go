// SPDX-License-Identifier: Apache-2.0

package connection

import "time"

const (
	// defaultRate applies if the deployment sets no rate, in requests per minute.
	defaultRate = 300
	// exactPlaces is how far ahead each place has a token of its own. Two callers share each token
	// that comes later, so that tokens are used even if callers do not come back, and requests of a
	// higher priority can be sent in between. Each request is then refused about twice.
	exactPlaces = 5 * time.Second
	// maxRetryAfter is the longest wait that a caller is told, in addition to a pause. The more
	// callers have to wait longer than that, the more often each of them comes back.
	maxRetryAfter = time.Minute
)

// bucket is a token bucket, and for each namespace and priority a line of callers that were told when
// to come back. It does not know who they are: a caller gets the token that is there when it comes. If a
// request of a higher priority has taken that token, the caller gets a new place at the end.
//
// All times are positive durations since the same moment. A bucket has no clock and is not safe for
// concurrent use. The zero value has no limit.
type bucket struct {
	interval time.Duration // between two tokens
	burst    int
	// empty is when the bucket has, or had, no token. From then on it gets one each interval, up to
	// the burst. It is in the future if tokens are reserved, or during a pause.
	empty time.Duration
	// paused is when the pause that the server asked for ends.
	paused time.Duration
	// lines are those of namespaces.
	lines lines
}

// setRate sets the rate, with bursts of a sixth of it, or of 10 if that is more. The first call
// fills the bucket. Later calls keep the number of tokens, and start the lines again.
func (b *bucket) setRate(now time.Duration, perMinute int32) {
	if perMinute <= 0 {
		perMinute = defaultRate
	}
	interval, burst := time.Minute/time.Duration(perMinute), max(10, int(perMinute)/6)
	if interval == b.interval {
		return
	}
	start, tokens := max(now, b.paused), float64(burst)
	if b.interval > 0 {
		tokens = min(tokens, float64(start-b.empty)/float64(b.interval))
	}
	b.interval, b.burst = interval, burst
	b.empty = start - time.Duration(tokens*float64(interval))
	b.lines = nil
}

// pauseUntil empties the bucket. It gets the first token when the pause ends.
func (b *bucket) pauseUntil(end time.Duration) {
	b.paused = max(b.paused, end)
	b.empty = max(b.empty, b.paused-b.interval)
}

// reserve takes a token that is there by the deadline and returns when it is. It leaves as many
// tokens in the bucket as are kept for requests of a higher priority.
func (b *bucket) reserve(now time.Duration, priority Priority, deadline time.Duration) (time.Duration, bool) {
	if full := now - time.Duration(b.burst)*b.interval; b.empty < full {
		// There has been room for a long time: those who were told to come back do not.
		b.empty = full
		b.lines = nil
	}
	turn := b.available(priority)
	if turn > deadline {
		return 0, false
	}
	b.empty += b.interval
	return turn, true
}

// giveBack returns a token that was reserved and is not needed.
func (b *bucket) giveBack() { b.empty = max(b.empty, b.paused) - b.interval }

// available returns when the bucket has a token more than are kept for requests of a higher
// priority.
func (b *bucket) available(priority Priority) time.Duration {
	return b.empty + time.Duration(priority.reservedTokens(b.burst)*float64(b.interval)) + b.interval
}

// nextPlace returns when a caller that cannot be served now is to come back: an interval after the
// last one of its namespace and priority, and after those of higher priorities. Namespaces with a line
// share the tokens, so that the places of each are as many intervals apart as there are lines.
func (b *bucket) nextPlace(now time.Duration, priority Priority, namespace string) time.Duration {
	own := b.openLine(now, namespace)
	first := b.available(priority)
	for higher := priority + 1; higher <= Urgent; higher++ {
		kept := b.available(priority) - b.available(higher)
		first = max(first, own.last[higher]+kept+b.interval)
	}
	start, spacing := max(now, b.paused), b.interval*time.Duration(len(b.lines))
	if own.last[priority] > start+exactPlaces {
		spacing /= 2
	}
	// A caller that would wait too long gets a place in the second half of the longest wait.
	halfway := start + maxRetryAfter/2
	place := max(min(first, halfway), own.last[priority]+spacing)
	if place > start+maxRetryAfter {
		place = halfway
	}
	own.extend(priority, place, spacing)
	return place
}

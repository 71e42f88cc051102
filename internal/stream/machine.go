// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// State is where a stream stands.
type State string

// The states, and the ways between them, which machine.next goes:
//
//	[Idle] ──settled──► [Connecting] ──opened──► [Connected]
//	                      ▲  ▲    │                   │
//	          due, settled│  │    │unavailable, lost  │lost
//	               (other)│  │    ▼                   │
//	                [AwaitingRetry] ◄─────────────────'
//	                         │
//	 settled (other, or after│a suspension), revived
//	                         │
//	                      [Parked] ◄──refused── [Connecting]
//	                               ◄──rejected── [Connecting], [Connected]
//	                               ◄──suspended── [Connecting], [Connected], [AwaitingRetry]
//
//	                      [Closed] ◄──finished── [Connecting], [Connected]
//	                               ◄──released── every state
//
// Other settings that settle while Connecting or Connected lead to Connecting, too. While Connecting, a WebSocket that
// the server does not have is replaced by server-sent events without a wait.
const (
	// Idle: no settings have settled yet.
	Idle State = "Idle"
	// Connecting: a dial is under way, or the server has not said its first word yet.
	Connecting State = "Connecting"
	// Connected: the server tells of changes.
	Connected State = "Connected"
	// AwaitingRetry: the next dial is due after a backoff.
	AwaitingRetry State = "AwaitingRetry"
	// Stopped: refused, or suspended; only other settings, or the end of the suspension, help.
	Stopped State = "Parked"
	// Closed: ended by the server in good order, or not held by anybody. There is no way back.
	Closed State = "Closed"
)

// machine is all that decisions depend on. It is a value: next returns another.
type machine struct {
	state State
	// fingerprint of the settings that were last dialled with.
	fingerprint string
	// link numbers the connections and the waits, so that what an earlier one reports is told from the present one's.
	link     uint64
	protocol coder.WatchProtocol
	// failures since the stream was last open, or dialled with new settings.
	failures int
	// suspended: whatever settles next ends it, even the same settings.
	suspended bool
}

type eventKind int

const (
	settled   eventKind = iota // with fingerprint; after keeps the first dial back
	suspended                  // the deployment is out of use until something settles
	revived                    // somebody knows better than the refusal
	due                        // of link: the wait is over
	opened                     // of link: the server has said its first word
	refused                    // of link: the dial failed, with failure and after
	lost                       // of link: the connection ended, with ending
	released                   // nobody holds the stream any more
)

// event is what happens to a machine.
type event struct {
	kind        eventKind
	fingerprint string
	link        uint64
	failure     coder.WatchFailure
	ending      ending
	// after is a time that the next dial is not to be made before.
	after time.Duration
}

// ending is what the end of a connection calls for.
type ending int

const (
	broken   ending = iota // without a close frame, or with a code that promises nothing
	finished               // 1000, 1001
	rejected               // 1002, 1003
)

type actionKind int

const (
	dial   actionKind = iota // open link by protocol
	hangUp                   // close link in good order, also where its dial is still under way
	wait                     // until after has passed; then due happens to link
	unwait                   // no more
)

// action is what a machine asks for. All of them begin something and wait for nothing.
type action struct {
	kind     actionKind
	link     uint64
	protocol coder.WatchProtocol
	after    time.Duration
}

// next returns what becomes of m by e and what is to be done for it, in this order. jitter is in [-1, 1].
func (m machine) next(e event, jitter float64) (machine, []action) {
	if !m.accepts(e) {
		return m, m.reject(e)
	}
	switch e.kind {
	case settled:
		return m.settle(e, jitter)
	case suspended:
		return m.suspend()
	case revived:
		return m.begin()
	case released:
		actions := m.drop()
		m.state, m.link = Closed, m.link+1
		return m, actions
	case due:
		return m.dialBy(coder.WatchWebSocket)
	case opened:
		m.state, m.failures = Connected, 0
		return m, nil
	case refused:
		return m.refuse(e, jitter)
	default:
		return m.lose(e, jitter)
	}
}

// reject is what to do about an event that means nothing to m: a connection that comes too late is closed (B84).
func (m machine) reject(e event) []action {
	if present := m.state == Connected && e.link == m.link; e.kind == opened && !present {
		return []action{{kind: hangUp, link: e.link}}
	}
	return nil
}

// accepts reports whether e can mean anything to m: what a link reports must be of the present one.
func (m machine) accepts(e event) bool {
	switch e.kind {
	case revived:
		return m.state == Stopped
	case due:
		return m.state == AwaitingRetry && e.link == m.link
	case opened, refused:
		return m.state == Connecting && e.link == m.link
	case lost:
		return (m.state == Connecting || m.state == Connected) && e.link == m.link
	default:
		return m.state != Closed
	}
}

// settle begins anew with settings that differ, and with any that end a suspension (B82, B85).
func (m machine) settle(e event, jitter float64) (machine, []action) {
	switch same := e.fingerprint == m.fingerprint; {
	case m.state == Idle && e.after > 0:
		m.fingerprint = e.fingerprint
		return m.await(e.after, jitter)
	case m.state == Idle, m.state == Stopped && m.suspended, !same:
		m.fingerprint = e.fingerprint
		return m.begin()
	}
	return m, nil
}

// suspend parks everything that has begun.
func (m machine) suspend() (machine, []action) {
	if m.state == Idle {
		return m, nil
	}
	actions := m.drop()
	if m.state != Stopped {
		m.state, m.link = Stopped, m.link+1
	}
	m.suspended = true
	return m, actions
}

// refuse is what a failed dial leads to (B81, B83).
func (m machine) refuse(e event, jitter float64) (machine, []action) {
	switch {
	case e.failure == coder.WatchMissing && m.protocol == coder.WatchWebSocket:
		return m.dialBy(coder.WatchEvents)
	case e.failure == coder.WatchMissing, e.failure == coder.WatchRefused:
		m.state = Stopped
		return m, nil
	default:
		return m.retry(e.after, jitter)
	}
}

// lose is what the end of a connection leads to (B81).
func (m machine) lose(e event, jitter float64) (machine, []action) {
	switch e.ending {
	case finished:
		m.state = Closed
		return m, nil
	case rejected:
		m.state = Stopped
		return m, nil
	default:
		return m.retry(0, jitter)
	}
}

// begin drops what is under way and dials with a fresh count of failures.
func (m machine) begin() (machine, []action) {
	actions := m.drop()
	m.failures, m.suspended = 0, false
	m, dials := m.dialBy(coder.WatchWebSocket)
	return m, append(actions, dials...)
}

func (m machine) dialBy(protocol coder.WatchProtocol) (machine, []action) {
	m.state, m.link, m.protocol = Connecting, m.link+1, protocol
	return m, []action{{kind: dial, link: m.link, protocol: protocol}}
}

// drop is what to do about what is under way.
func (m machine) drop() []action {
	switch m.state {
	case Connecting, Connected:
		return []action{{kind: hangUp, link: m.link}}
	case AwaitingRetry:
		return []action{{kind: unwait, link: m.link}}
	default:
		return nil
	}
}

// retry waits for the backoff, and not shorter than the server has asked for (B52, B80).
func (m machine) retry(after time.Duration, jitter float64) (machine, []action) {
	delay := max(after, spread(backoff(m.failures), jitter))
	m.failures++
	m.state, m.link = AwaitingRetry, m.link+1
	return m, []action{{kind: wait, link: m.link, after: delay}}
}

// await keeps the first dial back.
func (m machine) await(after time.Duration, jitter float64) (machine, []action) {
	m.state, m.link = AwaitingRetry, m.link+1
	return m, []action{{kind: wait, link: m.link, after: spread(after, jitter)}}
}

// The backoff (B80).
const (
	minBackoff  = 250 * time.Millisecond
	maxBackoff  = 30 * time.Second
	jitterShare = 0.1
)

// backoff is the wait after so many failures in a row before this one.
func backoff(failures int) time.Duration {
	delay := minBackoff
	for range failures {
		if delay *= 2; delay >= maxBackoff {
			return maxBackoff
		}
	}
	return delay
}

// spread makes streams that failed together come back apart.
func spread(d time.Duration, jitter float64) time.Duration {
	return d + time.Duration(float64(d)*jitterShare*jitter)
}

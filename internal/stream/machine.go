// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// State is the state of a stream.
type State string

// The states and transitions, as machine.applyEvent implements them:
//
//	[Idle] ──settled──► [Connecting] ──opened──► [Connected]
//	                      ▲  ▲    │                   │
//	          due, settled│  │    │unavailable, lost  │lost
//	               (other)│  │    ▼                   │
//	                [AwaitingRetry] ◄─────────────────'
//	                         │
//	 settled (other, or after│a suspension), revived
//	                         │
//	                      [Stopped] ◄──refused── [Connecting]
//	                                ◄──rejected── [Connecting], [Connected]
//	                                ◄──suspended── [Connecting], [Connected], [AwaitingRetry]
//
//	                      [Closed] ◄──finished── [Connecting], [Connected]
//	                               ◄──released── every state
//
// Other settings that settle while Connecting or Connected lead to Connecting, too. While
// Connecting, a WebSocket that the server does not support, or that a proxy does not let through, is
// replaced by server-sent events without a wait.
const (
	// Idle: no settings are available yet.
	Idle State = "Idle"
	// Connecting: a dial is in progress, or the server has not sent its first message yet.
	Connecting State = "Connecting"
	// Connected: the server sends changes.
	Connected State = "Connected"
	// AwaitingRetry: the next dial is made after a backoff.
	AwaitingRetry State = "AwaitingRetry"
	// Stopped: refused or suspended. Only other settings or the end of the suspension start it again.
	Stopped State = "Stopped"
	// Closed: ended normally by the server, or without holders. This state is final.
	Closed State = "Closed"
)

// machine holds all the state that transitions depend on. It is a value: applyEvent returns a new
// one.
type machine struct {
	state State
	// fingerprint of the settings of the last dial.
	fingerprint string
	// link numbers the connections and the waits, so that events of earlier ones are recognised.
	link     uint64
	protocol coder.WatchProtocol
	// failures since the stream was last open, or dialled with new settings.
	failures int
	// suspended is set until the next settled event, even if the settings are the same.
	suspended bool
}

type eventKind int

const (
	settled   eventKind = iota // with fingerprint; after delays the first dial
	suspended                  // the deployment is suspended until new settings arrive
	revived                    // the same settings are known to work again
	due                        // of link: the wait is over
	opened                     // of link: the server has sent its first message
	refused                    // of link: the dial failed, with failure and after
	lost                       // of link: the connection ended, with ending
	released                   // the stream has no holder any more
)

// event is the input of a machine.
type event struct {
	kind        eventKind
	fingerprint string
	link        uint64
	failure     coder.WatchFailure
	ending      ending
	// after is the minimum wait before the next dial.
	after time.Duration
}

// ending classifies the end of a connection.
type ending int

const (
	broken   ending = iota // without a close frame, or with any other code
	finished               // 1000
	rejected               // 1002, 1003
)

type actionKind int

const (
	dial       actionKind = iota // open link by protocol
	closeLink                    // close link normally, even if its dial is still in progress
	wait                         // until after has passed, then send due for link
	cancelWait                   // cancel the wait
)

// action is the output of a machine. An action starts something and does not block.
type action struct {
	kind     actionKind
	link     uint64
	protocol coder.WatchProtocol
	after    time.Duration
}

// applyEvent returns the machine after e, and the actions to take, in this order. jitter is in [-1,
// 1].
func (m machine) applyEvent(e event, jitter float64) (machine, []action) {
	if !m.acceptsEvent(e) {
		return m, m.rejectEvent(e)
	}
	switch e.kind {
	case settled:
		return m.applySettings(e, jitter)
	case suspended:
		return m.stopForSuspension()
	case revived:
		return m.startOver()
	case released:
		actions := m.cancelCurrent()
		m.state, m.link = Closed, m.link+1
		return m, actions
	case due:
		return m.dialBy(coder.WatchWebSocket)
	case opened:
		m.state, m.failures = Connected, 0
		return m, nil
	case refused:
		return m.handleRefusal(e, jitter)
	default:
		return m.handleLoss(e, jitter)
	}
}

// rejectEvent returns the actions for an event that m does not accept: a connection that is opened
// too late is closed (B84).
func (m machine) rejectEvent(e event) []action {
	if present := m.state == Connected && e.link == m.link; e.kind == opened && !present {
		return []action{{kind: closeLink, link: e.link}}
	}
	return nil
}

// acceptsEvent reports whether e applies to m. Events of a link must be those of the current one.
func (m machine) acceptsEvent(e event) bool {
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

// applySettings starts over if the settings differ or a suspension ends (B82, B85).
func (m machine) applySettings(e event, jitter float64) (machine, []action) {
	switch same := e.fingerprint == m.fingerprint; {
	case m.state == Idle && e.after > 0:
		m.fingerprint = e.fingerprint
		return m.delayDial(e.after, jitter)
	case m.state == Idle, m.state == Stopped && m.suspended, !same:
		m.fingerprint = e.fingerprint
		return m.startOver()
	}
	return m, nil
}

// stopForSuspension stops everything that has started.
func (m machine) stopForSuspension() (machine, []action) {
	if m.state == Idle {
		return m, nil
	}
	actions := m.cancelCurrent()
	if m.state != Stopped {
		m.state, m.link = Stopped, m.link+1
	}
	m.suspended = true
	return m, actions
}

// handleRefusal handles a failed dial (B81, B83).
func (m machine) handleRefusal(e event, jitter float64) (machine, []action) {
	switch {
	case m.protocol == coder.WatchWebSocket && (e.failure == coder.WatchMissing || e.failure == coder.WatchBlocked):
		return m.dialBy(coder.WatchEvents)
	case e.failure == coder.WatchMissing, e.failure == coder.WatchRefused:
		m.state = Stopped
		return m, nil
	default:
		return m.scheduleRetry(e.after, jitter)
	}
}

// handleLoss handles the end of a connection (B81).
func (m machine) handleLoss(e event, jitter float64) (machine, []action) {
	switch e.ending {
	case finished:
		m.state = Closed
		return m, nil
	case rejected:
		m.state = Stopped
		return m, nil
	default:
		return m.scheduleRetry(0, jitter)
	}
}

// startOver cancels what is in progress, resets the failures and dials.
func (m machine) startOver() (machine, []action) {
	actions := m.cancelCurrent()
	m.failures, m.suspended = 0, false
	m, dials := m.dialBy(coder.WatchWebSocket)
	return m, append(actions, dials...)
}

func (m machine) dialBy(protocol coder.WatchProtocol) (machine, []action) {
	m.state, m.link, m.protocol = Connecting, m.link+1, protocol
	return m, []action{{kind: dial, link: m.link, protocol: protocol}}
}

// cancelCurrent returns the actions that cancel what is in progress.
func (m machine) cancelCurrent() []action {
	switch m.state {
	case Connecting, Connected:
		return []action{{kind: closeLink, link: m.link}}
	case AwaitingRetry:
		return []action{{kind: cancelWait, link: m.link}}
	default:
		return nil
	}
}

// scheduleRetry waits for the backoff, or longer if the server has asked for it (B52, B80).
func (m machine) scheduleRetry(after time.Duration, jitter float64) (machine, []action) {
	delay := max(after, applyJitter(backoff(m.failures), jitter))
	m.failures++
	m.state, m.link = AwaitingRetry, m.link+1
	return m, []action{{kind: wait, link: m.link, after: delay}}
}

// delayDial delays the first dial.
func (m machine) delayDial(after time.Duration, jitter float64) (machine, []action) {
	m.state, m.link = AwaitingRetry, m.link+1
	return m, []action{{kind: wait, link: m.link, after: applyJitter(after, jitter)}}
}

// Limits of the backoff (B80).
const (
	minBackoff  = 250 * time.Millisecond
	maxBackoff  = 30 * time.Second
	jitterShare = 0.1
)

// backoff returns the wait after so many earlier failures in a row.
func backoff(failures int) time.Duration {
	delay := minBackoff
	for range failures {
		if delay *= 2; delay >= maxBackoff {
			return maxBackoff
		}
	}
	return delay
}

// applyJitter varies the wait, so that streams that failed together do not reconnect together.
func applyJitter(d time.Duration, jitter float64) time.Duration {
	return d + time.Duration(float64(d)*jitterShare*jitter)
}

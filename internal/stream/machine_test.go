// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

const (
	socketWire = coder.WatchWebSocket
	eventsWire = coder.WatchEvents
)

// at returns a machine that has dialled with settings "a". Its third link is the current one.
func at(state State, edits ...func(*machine)) machine {
	m := machine{state: state, fingerprint: "a", link: 3, protocol: socketWire}
	for _, edit := range edits {
		edit(&m)
	}
	return m
}

func bySSE(m *machine)      { m.protocol = eventsWire }
func suspendedM(m *machine) { m.suspended = true }
func link(n uint64) func(*machine) {
	return func(m *machine) { m.link = n }
}
func failures(n int) func(*machine) {
	return func(m *machine) { m.failures = n }
}
func settings(fingerprint string) func(*machine) {
	return func(m *machine) { m.fingerprint = fingerprint }
}

func dialing(n uint64) action { return action{kind: dial, link: n, protocol: socketWire} }
func closing(n uint64) action { return action{kind: closeLink, link: n} }
func waiting(n uint64, d time.Duration) action {
	return action{kind: wait, link: n, after: d}
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	other := event{kind: settled, fingerprint: "b"}
	same := event{kind: settled, fingerprint: "a"}
	tests := map[string]struct {
		from machine
		e    event
		to   machine
		do   []action
	}{
		"the first settings open it": {
			machine{state: Idle}, same, at(Connecting, link(1)), []action{dialing(1)}},
		"the first settings wait where they are to": {
			machine{state: Idle}, event{kind: settled, fingerprint: "a", after: time.Minute},
			at(AwaitingRetry, link(1), func(m *machine) { m.protocol = "" }), []action{waiting(1, time.Minute)}},
		"idle has nothing to suspend": {
			machine{state: Idle}, event{kind: suspended}, machine{state: Idle}, nil},
		"B80 open resets the backoff": {
			at(Connecting, failures(5)), event{kind: opened, link: 3}, at(Connected), nil},
		"B80 the first wait": {
			at(Connected), event{kind: lost, link: 3}, at(AwaitingRetry, link(4), failures(1)),
			[]action{waiting(4, 250*time.Millisecond)}},
		"B80 doubling": {
			at(Connecting, failures(3)), event{kind: refused, link: 3, failure: coder.WatchUnavailable},
			at(AwaitingRetry, link(4), failures(4)), []action{waiting(4, 2*time.Second)}},
		"B80 the longest wait": {
			at(Connecting, failures(99)), event{kind: refused, link: 3, failure: coder.WatchUnavailable},
			at(AwaitingRetry, link(4), failures(100)), []action{waiting(4, 30*time.Second)}},
		"B52 the server asks for more": {
			at(Connecting), event{kind: refused, link: 3, failure: coder.WatchUnavailable, after: time.Minute},
			at(AwaitingRetry, link(4), failures(1)), []action{waiting(4, time.Minute)}},
		"B52 the server asks for less": {
			at(Connecting, failures(9)), event{kind: refused, link: 3, failure: coder.WatchUnavailable, after: time.Second},
			at(AwaitingRetry, link(4), failures(10)), []action{waiting(4, 30*time.Second)}},
		"the wait is over": {
			at(AwaitingRetry, failures(2)), event{kind: due, link: 3}, at(Connecting, link(4), failures(2)),
			[]action{dialing(4)}},
		"an earlier wait is over":  {at(AwaitingRetry), event{kind: due, link: 2}, at(AwaitingRetry), nil},
		"an outdated wait is over": {at(Connecting), event{kind: due, link: 3}, at(Connecting), nil},
		"B81 finished": {
			at(Connected), event{kind: lost, link: 3, ending: finished}, at(Closed), nil},
		"B81 finished before the first word": {
			at(Connecting), event{kind: lost, link: 3, ending: finished}, at(Closed), nil},
		"B81 rejected": {
			at(Connected), event{kind: lost, link: 3, ending: rejected}, at(Stopped), nil},
		"B81 refused": {
			at(Connecting), event{kind: refused, link: 3, failure: coder.WatchRefused}, at(Stopped), nil},
		"B81 missing by both protocols": {
			at(Connecting, bySSE), event{kind: refused, link: 3, failure: coder.WatchMissing}, at(Stopped, bySSE), nil},
		"B81 lost before the first word": {
			at(Connecting, failures(2)), event{kind: lost, link: 3}, at(AwaitingRetry, link(4), failures(3)),
			[]action{waiting(4, time.Second)}},
		"B82 same settings while dialling": {at(Connecting), same, at(Connecting), nil},
		"B82 same settings while open":     {at(Connected), same, at(Connected), nil},
		"B82 same settings while waiting": {
			at(AwaitingRetry, failures(1)), same, at(AwaitingRetry, failures(1)), nil},
		"B82 same settings while stopped": {at(Stopped), same, at(Stopped), nil},
		"B82 other settings while dialling": {
			at(Connecting), other, at(Connecting, link(4), settings("b")), []action{closing(3), dialing(4)}},
		"B82 other settings while open": {
			at(Connected), other, at(Connecting, link(4), settings("b")), []action{closing(3), dialing(4)}},
		"B82 other settings while waiting": {
			at(AwaitingRetry, failures(7)), other, at(Connecting, link(4), settings("b")),
			[]action{{kind: cancelWait, link: 3}, dialing(4)}},
		"B82 other settings while stopped": {
			at(Stopped), other, at(Connecting, link(4), settings("b")), []action{dialing(4)}},
		"B83 missing by WebSocket": {
			at(Connecting, failures(2)), event{kind: refused, link: 3, failure: coder.WatchMissing},
			at(Connecting, link(4), bySSE, failures(2)), []action{{kind: dial, link: 4, protocol: eventsWire}}},
		"B83 the next dial": {
			at(AwaitingRetry, bySSE), event{kind: due, link: 3}, at(Connecting, link(4)), []action{dialing(4)}},
		"B83 the next dial, by settings": {
			at(Connected, bySSE), other, at(Connecting, link(4), settings("b")), []action{closing(3), dialing(4)}},
		"B83 SSE fails otherwise": {
			at(Connecting, bySSE), event{kind: refused, link: 3, failure: coder.WatchUnavailable},
			at(AwaitingRetry, link(4), bySSE, failures(1)), []action{waiting(4, 250*time.Millisecond)}},
		"B84 suspended while dialling": {
			at(Connecting), event{kind: suspended}, at(Stopped, link(4), suspendedM), []action{closing(3)}},
		"B84 the late connection": {
			at(Stopped, link(4), suspendedM), event{kind: opened, link: 3}, at(Stopped, link(4), suspendedM),
			[]action{closing(3)}},
		"B84 the late connection after another dial": {
			at(Connecting, link(5)), event{kind: opened, link: 3}, at(Connecting, link(5)), []action{closing(3)}},
		"B84 the late connection of a closed stream": {
			at(Closed, link(4)), event{kind: opened, link: 3}, at(Closed, link(4)), []action{closing(3)}},
		"B84 the late failure": {
			at(Stopped, link(4), suspendedM), event{kind: refused, link: 3, failure: coder.WatchMissing},
			at(Stopped, link(4), suspendedM), nil},
		"suspended while open": {
			at(Connected), event{kind: suspended}, at(Stopped, link(4), suspendedM), []action{closing(3)}},
		"suspended while waiting": {
			at(AwaitingRetry), event{kind: suspended}, at(Stopped, link(4), suspendedM), []action{{kind: cancelWait, link: 3}}},
		"suspended while stopped": {at(Stopped), event{kind: suspended}, at(Stopped, suspendedM), nil},
		"suspended while closed":  {at(Closed), event{kind: suspended}, at(Closed), nil},
		"B85 same settings end a suspension": {
			at(Stopped, suspendedM), same, at(Connecting, link(4)), []action{dialing(4)}},
		"B85 other settings end a suspension": {
			at(Stopped, suspendedM), other, at(Connecting, link(4), settings("b")), []action{dialing(4)}},
		"B85 a closed stream stays closed": {at(Closed), other, at(Closed), nil},
		"revived": {
			at(Stopped, failures(3)), event{kind: revived}, at(Connecting, link(4)), []action{dialing(4)}},
		"only a stopped stream can be revived": {at(Connected), event{kind: revived}, at(Connected), nil},
		"lost after it was hung up": {
			at(Connecting, link(4)), event{kind: lost, link: 3, ending: finished}, at(Connecting, link(4)), nil},
		"released while idle": {
			machine{state: Idle}, event{kind: released}, machine{state: Closed, link: 1}, nil},
		"released while open": {
			at(Connected), event{kind: released}, at(Closed, link(4)), []action{closing(3)}},
		"released while waiting": {
			at(AwaitingRetry), event{kind: released}, at(Closed, link(4)), []action{{kind: cancelWait, link: 3}}},
		"released twice": {at(Closed), event{kind: released}, at(Closed), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, do := tt.from.applyEvent(tt.e, 0)
			if diff := cmp.Diff(tt.to, to, cmp.AllowUnexported(machine{})); diff != "" {
				t.Errorf("machine (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.do, do, cmp.AllowUnexported(action{})); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBackoff(t *testing.T) { // B80
	t.Parallel()
	want := []time.Duration{250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000}
	for failures, ms := range want {
		d := ms * time.Millisecond
		if got := backoff(failures); got != d {
			t.Errorf("after %d failures %v, want %v", failures, got, d)
		}
		for jitter, wanted := range map[float64]time.Duration{-1: d - d/10, 0: d, 1: d + d/10} {
			if got := applyJitter(d, jitter); got != wanted {
				t.Errorf("%v with jitter %v is %v, want %v", d, jitter, got, wanted)
			}
		}
	}
}

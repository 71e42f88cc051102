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

// machineAt returns a machine that has dialled with settings "a". Its third link is the current one.
func machineAt(state State, edits ...func(*machine)) machine {
	m := machine{state: state, fingerprint: "a", link: 3, protocol: socketWire}
	for _, edit := range edits {
		edit(&m)
	}
	return m
}

func bySSE(m *machine)      { m.protocol = eventsWire }
func suspendedM(m *machine) { m.suspended = true }
func withLink(n uint64) func(*machine) {
	return func(m *machine) { m.link = n }
}
func withFailures(n int) func(*machine) {
	return func(m *machine) { m.failures = n }
}
func withSettings(fingerprint string) func(*machine) {
	return func(m *machine) { m.fingerprint = fingerprint }
}

func dialAction(n uint64) action  { return action{kind: dial, link: n, protocol: socketWire} }
func closeAction(n uint64) action { return action{kind: closeLink, link: n} }
func waitAction(n uint64, d time.Duration) action {
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
			machine{state: Idle}, same, machineAt(Connecting, withLink(1)), []action{dialAction(1)}},
		"the first settings wait where they are to": {
			machine{state: Idle}, event{kind: settled, fingerprint: "a", after: time.Minute},
			machineAt(AwaitingRetry, withLink(1), func(m *machine) { m.protocol = "" }), []action{waitAction(1, time.Minute)}},
		"idle has nothing to suspend": {
			machine{state: Idle}, event{kind: suspended}, machine{state: Idle}, nil},
		"B80 open resets the backoff": {
			machineAt(Connecting, withFailures(5)), event{kind: opened, link: 3}, machineAt(Connected), nil},
		"B80 the first wait": {
			machineAt(Connected), event{kind: lost, link: 3}, machineAt(AwaitingRetry, withLink(4), withFailures(1)),
			[]action{waitAction(4, 250*time.Millisecond)}},
		"B80 doubling": {
			machineAt(Connecting, withFailures(3)), event{kind: refused, link: 3, failure: coder.WatchUnavailable},
			machineAt(AwaitingRetry, withLink(4), withFailures(4)), []action{waitAction(4, 2*time.Second)}},
		"B80 the longest wait": {
			machineAt(Connecting, withFailures(99)), event{kind: refused, link: 3, failure: coder.WatchUnavailable},
			machineAt(AwaitingRetry, withLink(4), withFailures(100)), []action{waitAction(4, 30*time.Second)}},
		"B52 the server asks for more": {
			machineAt(Connecting), event{kind: refused, link: 3, failure: coder.WatchUnavailable, after: time.Minute},
			machineAt(AwaitingRetry, withLink(4), withFailures(1)), []action{waitAction(4, time.Minute)}},
		"B52 the server asks for less": {
			machineAt(Connecting, withFailures(9)), event{kind: refused, link: 3, failure: coder.WatchUnavailable,
				after: time.Second},
			machineAt(AwaitingRetry, withLink(4), withFailures(10)), []action{waitAction(4, 30*time.Second)}},
		"the wait is over": {
			machineAt(AwaitingRetry, withFailures(2)), event{kind: due, link: 3},
			machineAt(Connecting, withLink(4), withFailures(2)),
			[]action{dialAction(4)}},
		"an earlier wait is over":  {machineAt(AwaitingRetry), event{kind: due, link: 2}, machineAt(AwaitingRetry), nil},
		"an outdated wait is over": {machineAt(Connecting), event{kind: due, link: 3}, machineAt(Connecting), nil},
		"B81 finished": {
			machineAt(Connected), event{kind: lost, link: 3, ending: finished}, machineAt(Closed), nil},
		"B81 finished before the first word": {
			machineAt(Connecting), event{kind: lost, link: 3, ending: finished}, machineAt(Closed), nil},
		"B81 rejected": {
			machineAt(Connected), event{kind: lost, link: 3, ending: rejected}, machineAt(Stopped), nil},
		"B81 refused": {
			machineAt(Connecting), event{kind: refused, link: 3, failure: coder.WatchRefused}, machineAt(Stopped), nil},
		"B81 missing by both protocols": {
			machineAt(Connecting, bySSE), event{kind: refused, link: 3, failure: coder.WatchMissing}, machineAt(Stopped, bySSE),
			nil},
		"B81 lost before the first word": {
			machineAt(Connecting, withFailures(2)), event{kind: lost, link: 3},
			machineAt(AwaitingRetry, withLink(4), withFailures(3)),
			[]action{waitAction(4, time.Second)}},
		"B82 same settings while dialling": {machineAt(Connecting), same, machineAt(Connecting), nil},
		"B82 same settings while open":     {machineAt(Connected), same, machineAt(Connected), nil},
		"B82 same settings while waiting": {
			machineAt(AwaitingRetry, withFailures(1)), same, machineAt(AwaitingRetry, withFailures(1)), nil},
		"B82 same settings while stopped": {machineAt(Stopped), same, machineAt(Stopped), nil},
		"B82 other settings while dialling": {
			machineAt(Connecting), other, machineAt(Connecting, withLink(4), withSettings("b")),
			[]action{closeAction(3), dialAction(4)}},
		"B82 other settings while open": {
			machineAt(Connected), other, machineAt(Connecting, withLink(4), withSettings("b")),
			[]action{closeAction(3), dialAction(4)}},
		"B82 other settings while waiting": {
			machineAt(AwaitingRetry, withFailures(7)), other, machineAt(Connecting, withLink(4), withSettings("b")),
			[]action{{kind: cancelWait, link: 3}, dialAction(4)}},
		"B82 other settings while stopped": {
			machineAt(Stopped), other, machineAt(Connecting, withLink(4), withSettings("b")), []action{dialAction(4)}},
		"B83 missing by WebSocket": {
			machineAt(Connecting, withFailures(2)), event{kind: refused, link: 3, failure: coder.WatchMissing},
			machineAt(Connecting, withLink(4), bySSE, withFailures(2)), []action{{kind: dial, link: 4, protocol: eventsWire}}},
		"B83 a proxy blocks the WebSocket": {
			machineAt(Connecting, withFailures(2)), event{kind: refused, link: 3, failure: coder.WatchBlocked},
			machineAt(Connecting, withLink(4), bySSE, withFailures(2)), []action{{kind: dial, link: 4, protocol: eventsWire}}},
		"B122 a proxy blocks both protocols": {
			machineAt(Connecting, bySSE), event{kind: refused, link: 3, failure: coder.WatchBlocked},
			machineAt(AwaitingRetry, withLink(4), bySSE, withFailures(1)), []action{waitAction(4, 250*time.Millisecond)}},
		"B83 the next dial": {
			machineAt(AwaitingRetry, bySSE), event{kind: due, link: 3}, machineAt(Connecting, withLink(4)),
			[]action{dialAction(4)}},
		"B83 the next dial, by settings": {
			machineAt(Connected, bySSE), other, machineAt(Connecting, withLink(4), withSettings("b")),
			[]action{closeAction(3), dialAction(4)}},
		"B83 SSE fails otherwise": {
			machineAt(Connecting, bySSE), event{kind: refused, link: 3, failure: coder.WatchUnavailable},
			machineAt(AwaitingRetry, withLink(4), bySSE, withFailures(1)), []action{waitAction(4, 250*time.Millisecond)}},
		"B84 suspended while dialling": {
			machineAt(Connecting), event{kind: suspended}, machineAt(Stopped, withLink(4), suspendedM),
			[]action{closeAction(3)}},
		"B84 the late connection": {
			machineAt(Stopped, withLink(4), suspendedM), event{kind: opened, link: 3},
			machineAt(Stopped, withLink(4), suspendedM),
			[]action{closeAction(3)}},
		"B84 the late connection after another dial": {
			machineAt(Connecting, withLink(5)), event{kind: opened, link: 3}, machineAt(Connecting, withLink(5)),
			[]action{closeAction(3)}},
		"B84 the late connection of a closed stream": {
			machineAt(Closed, withLink(4)), event{kind: opened, link: 3}, machineAt(Closed, withLink(4)),
			[]action{closeAction(3)}},
		"B84 the late failure": {
			machineAt(Stopped, withLink(4), suspendedM), event{kind: refused, link: 3, failure: coder.WatchMissing},
			machineAt(Stopped, withLink(4), suspendedM), nil},
		"suspended while open": {
			machineAt(Connected), event{kind: suspended}, machineAt(Stopped, withLink(4), suspendedM), []action{closeAction(3)}},
		"suspended while waiting": {
			machineAt(AwaitingRetry), event{kind: suspended}, machineAt(Stopped, withLink(4), suspendedM),
			[]action{{kind: cancelWait, link: 3}}},
		"suspended while stopped": {machineAt(Stopped), event{kind: suspended}, machineAt(Stopped, suspendedM), nil},
		"suspended while closed":  {machineAt(Closed), event{kind: suspended}, machineAt(Closed), nil},
		"B85 same settings end a suspension": {
			machineAt(Stopped, suspendedM), same, machineAt(Connecting, withLink(4)), []action{dialAction(4)}},
		"B85 other settings end a suspension": {
			machineAt(Stopped, suspendedM), other, machineAt(Connecting, withLink(4), withSettings("b")),
			[]action{dialAction(4)}},
		"B85 a closed stream stays closed": {machineAt(Closed), other, machineAt(Closed), nil},
		"revived": {
			machineAt(Stopped, withFailures(3)), event{kind: revived}, machineAt(Connecting, withLink(4)),
			[]action{dialAction(4)}},
		"only a stopped stream can be revived": {machineAt(Connected), event{kind: revived}, machineAt(Connected), nil},
		"lost after it was hung up": {
			machineAt(Connecting, withLink(4)), event{kind: lost, link: 3, ending: finished},
			machineAt(Connecting, withLink(4)), nil},
		"released while idle": {
			machine{state: Idle}, event{kind: released}, machine{state: Closed, link: 1}, nil},
		"released while open": {
			machineAt(Connected), event{kind: released}, machineAt(Closed, withLink(4)), []action{closeAction(3)}},
		"released while waiting": {
			machineAt(AwaitingRetry), event{kind: released}, machineAt(Closed, withLink(4)),
			[]action{{kind: cancelWait, link: 3}}},
		"released twice": {machineAt(Closed), event{kind: released}, machineAt(Closed), nil},
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

// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// stream carries out the actions of its machine. It is safe for concurrent use; nothing blocks
// while its lock is held.
type stream struct {
	set    *Set
	target Target

	holders []types.NamespacedName // guarded by the set's lock

	mu         sync.Mutex
	machine    machine
	client     *coder.Client // of the latest settings
	link       uint64        // the link that cancelLink ends
	cancelLink context.CancelFunc
	timer      clock.Timer
	view       View
	// notified is the part of the view whose changes holders are notified of.
	notified notifiedView
	// pending: there is a change to report. notifying: a goroutine is reporting changes.
	pending, notifying bool
}

type notifiedView struct {
	state     State
	workspace coder.Workspace
}

// holderState returns the state as holders see it: a dial that is in progress or due is Connecting.
func (m machine) holderState() State {
	switch m.state {
	case Connected, Stopped, Closed:
		return m.state
	default:
		return Connecting
	}
}

// handleEvent applies an event to the machine, carries out its actions, and notifies the holders.
// err says why the stream is not connected, if the event is about that.
func (s *stream) handleEvent(e event, err error) {
	s.mu.Lock()
	s.stepMachine(e, err)
	s.mu.Unlock()
	s.deliverNotifications()
}

// stepMachine is handleEvent without notifications. The lock must be held.
func (s *stream) stepMachine(e event, err error) {
	accepted := s.machine.acceptsEvent(e)
	next, actions := s.machine.applyEvent(e, 2*s.set.jitter()-1)
	s.machine = next
	for _, a := range actions {
		s.startAction(a)
	}
	if accepted && (err != nil || next.state == Connected) {
		s.view.Err = err
	}
	s.updateView()
}

// updateView updates the view. The lock must be held.
func (s *stream) updateView() {
	s.view.State = s.machine.state
	if now := (notifiedView{s.machine.holderState(), s.view.Workspace}); now != s.notified {
		s.notified, s.pending = now, true
	}
}

// startAction starts an action. The lock must be held.
func (s *stream) startAction(a action) {
	switch a.kind {
	case dial:
		ctx, cancel := context.WithCancel(s.set.base)
		s.link, s.cancelLink = a.link, cancel
		s.set.running.Add(1)
		go s.runLink(ctx, cancel, a, s.client)
	case closeLink:
		if s.link == a.link && s.cancelLink != nil {
			s.cancelLink()
		}
	case wait:
		// The function runs on a goroutine of its own, because some clocks call it with their own lock
		// held.
		s.timer = s.set.clock.AfterFunc(a.after, func() { go s.handleEvent(event{kind: due, link: a.link}, nil) })
	case cancelWait:
		s.timer.Stop()
	}
}

// runLink runs one link, from the dial to the end of the connection.
func (s *stream) runLink(ctx context.Context, cancel context.CancelFunc, a action, client *coder.Client) {
	defer s.set.running.Done()
	defer cancel()
	guard := &watchdog{clock: s.set.clock}
	w, err := s.set.open(ctx, dialOptions{
		client: client, workspaceID: s.target.WorkspaceID, protocol: a.protocol, clock: s.set.clock,
		onActivity: guard.recordActivity,
	})
	if err != nil {
		e, why := classifyDialError(err)
		e.link = a.link
		s.observeEvent(ctx, Refused, a.protocol, why)
		s.handleEvent(e, why)
		return
	}
	guard.startWatch(w.closeNow)
	closed := make(chan struct{})
	silent := context.AfterFunc(ctx, func() {
		defer close(closed)
		w.closeGracefully()
	})
	err = s.readEvents(ctx, w, a)
	if !silent() {
		<-closed
	}
	w.closeNow()
	end, why := classifyEnd(err)
	if guard.stopWatch() {
		why = errSilent
	}
	s.observeEvent(ctx, Lost, a.protocol, why)
	s.handleEvent(event{kind: lost, link: a.link, ending: end}, why)
}

// readEvents reads until the connection ends. The stream counts as open from the first message on:
// only then is it certain that the server sends changes (contract D.1).
func (s *stream) readEvents(ctx context.Context, w wire, a action) error {
	first := true
	return w.read(func(received coder.Event) {
		if first {
			first = false
			s.observeEvent(ctx, Opened, a.protocol, nil)
			s.handleEvent(event{kind: opened, link: a.link}, nil)
		}
		switch received.Type {
		case framePing:
		case frameData:
			ws, err := received.Workspace()
			if err == nil && ws.ID != s.target.WorkspaceID {
				err = errOther
			}
			if err != nil {
				s.observeEvent(ctx, InvalidEvent, a.protocol, err)
				return
			}
			s.updateWorkspace(a.link, ws)
		case frameError:
			s.observeEvent(ctx, ServerError, a.protocol, errors.New(received.Complaint()))
		default:
			s.observeEvent(ctx, InvalidEvent, a.protocol, errNoEvent)
		}
	})
}

// updateWorkspace stores a workspace state that the current link has received.
func (s *stream) updateWorkspace(link uint64, ws coder.Workspace) {
	s.mu.Lock()
	if s.machine.state == Connected && s.machine.link == link && s.view.Workspace != ws {
		s.view.Workspace, s.view.ChangedAt = ws, s.set.clock.Now()
		s.updateView()
	}
	s.mu.Unlock()
	s.deliverNotifications()
}

// observeEvent reports a connection event, unless the operator has closed the link.
func (s *stream) observeEvent(ctx context.Context, kind ConnectionEventKind, protocol coder.WatchProtocol, err error) {
	if s.set.observe != nil && ctx.Err() == nil {
		s.set.observe(ConnectionEvent{Target: s.target, Kind: kind, Protocol: protocol, Err: err})
	}
}

// deliverNotifications notifies the holders until there is nothing to report. If another goroutine
// is doing so already, that one continues. No lock may be held.
func (s *stream) deliverNotifications() {
	for {
		s.mu.Lock()
		if !s.pending || s.notifying {
			s.mu.Unlock()
			return
		}
		s.pending, s.notifying = false, true
		view := s.view
		s.mu.Unlock()
		s.set.notifyHolders(s, view)
		s.mu.Lock()
		s.notifying = false
		s.mu.Unlock()
	}
}

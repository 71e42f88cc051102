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

// stream carries out what its machine decides. It is safe for concurrent use; nothing waits while its lock is held.
type stream struct {
	set    *Set
	target Target

	holders []types.NamespacedName // guarded by the set's lock

	mu      sync.Mutex
	machine machine
	client  *coder.Client // of the settings that settled last
	link    uint64        // the link that hangUp ends
	hangUp  context.CancelFunc
	timer   clock.Timer
	view    View
	// told is the part of the view that holders are told of when it changes.
	told told
	// dirty: there is something to tell; telling: somebody is at it.
	dirty, telling bool
}

type told struct {
	standing  State
	workspace coder.Workspace
}

// standing is the state as far as holders care: whether a dial is under way or due is the same to them.
func (m machine) standing() State {
	switch m.state {
	case Connected, Stopped, Closed:
		return m.state
	default:
		return Connecting
	}
}

// handleEvent takes an event through the machine, does what it asks for, and tells the holders. err says why, where that is
// what keeps the stream from being connected.
func (s *stream) handleEvent(e event, err error) {
	s.mu.Lock()
	s.step(e, err)
	s.mu.Unlock()
	s.tell()
}

// step is happen without telling. The lock is held.
func (s *stream) step(e event, err error) {
	minded := s.machine.accepts(e)
	next, actions := s.machine.next(e, 2*s.set.jitter()-1)
	s.machine = next
	for _, a := range actions {
		s.do(a)
	}
	if minded && (err != nil || next.state == Connected) {
		s.view.Err = err
	}
	s.note()
}

// note keeps the view up to date. The lock is held.
func (s *stream) note() {
	s.view.State = s.machine.state
	if now := (told{s.machine.standing(), s.view.Workspace}); now != s.told {
		s.told, s.dirty = now, true
	}
}

// do begins an action. The lock is held.
func (s *stream) do(a action) {
	switch a.kind {
	case dial:
		ctx, cancel := context.WithCancel(s.set.base)
		s.link, s.hangUp = a.link, cancel
		s.set.running.Add(1)
		go s.run(ctx, cancel, a, s.client)
	case hangUp:
		if s.link == a.link && s.hangUp != nil {
			s.hangUp()
		}
	case wait:
		// The goroutine is for clocks that run the function while they hold a lock of their own.
		s.timer = s.set.clock.AfterFunc(a.after, func() { go s.handleEvent(event{kind: due, link: a.link}, nil) })
	case unwait:
		s.timer.Stop()
	}
}

// run is one link, from the dial to the end of the connection.
func (s *stream) run(ctx context.Context, cancel context.CancelFunc, a action, client *coder.Client) {
	defer s.set.running.Done()
	defer cancel()
	guard := &watchdog{clock: s.set.clock}
	w, err := s.set.open(ctx, line{
		client: client, workspaceID: s.target.WorkspaceID, protocol: a.protocol, clock: s.set.clock, alive: guard.alive,
	})
	if err != nil {
		e, why := declined(err)
		e.link = a.link
		s.observe(ctx, Refused, a.protocol, why)
		s.handleEvent(e, why)
		return
	}
	guard.watch(w.cut)
	goodbye := make(chan struct{})
	silent := context.AfterFunc(ctx, func() {
		defer close(goodbye)
		w.hangUp()
	})
	err = s.listen(ctx, w, a)
	if !silent() {
		<-goodbye
	}
	w.cut()
	end, why := ended(err)
	if guard.stop() {
		why = errSilent
	}
	s.observe(ctx, Lost, a.protocol, why)
	s.handleEvent(event{kind: lost, link: a.link, ending: end}, why)
}

// listen reads until the connection ends. The first word opens the stream: only then is the server known to tell of
// changes (contract D.1).
func (s *stream) listen(ctx context.Context, w wire, a action) error {
	first := true
	return w.read(func(f frame) {
		if first {
			first = false
			s.observe(ctx, Opened, a.protocol, nil)
			s.handleEvent(event{kind: opened, link: a.link}, nil)
		}
		switch f.kind {
		case framePing:
		case frameData:
			ws, err := coder.ParseWorkspace(f.data)
			if err == nil && ws.ID != s.target.WorkspaceID {
				err = errOther
			}
			if err != nil {
				s.observe(ctx, InvalidEvent, a.protocol, err)
				return
			}
			s.learn(a.link, ws)
		case frameError:
			s.observe(ctx, ServerError, a.protocol, errors.New(coder.ParseComplaint(f.data)))
		default:
			s.observe(ctx, InvalidEvent, a.protocol, errNoEvent)
		}
	})
}

// learn takes in what the present link tells of the workspace.
func (s *stream) learn(link uint64, ws coder.Workspace) {
	s.mu.Lock()
	if s.machine.state == Connected && s.machine.link == link && s.view.Workspace != ws {
		s.view.Workspace, s.view.ChangedAt = ws, s.set.clock.Now()
		s.note()
	}
	s.mu.Unlock()
	s.tell()
}

// observe reports an occurrence, unless this side has hung up.
func (s *stream) observe(ctx context.Context, kind OccurrenceKind, protocol coder.WatchProtocol, err error) {
	if s.set.observe != nil && ctx.Err() == nil {
		s.set.observe(ConnectionEvent{Target: s.target, Kind: kind, Protocol: protocol, Err: err})
	}
}

// tell hands over hints, without a lock held, until there is nothing to tell; where somebody is at it already, they go on.
func (s *stream) tell() {
	for {
		s.mu.Lock()
		if !s.dirty || s.telling {
			s.mu.Unlock()
			return
		}
		s.dirty, s.telling = false, true
		view := s.view
		s.mu.Unlock()
		s.set.hint(s, view)
		s.mu.Lock()
		s.telling = false
		s.mu.Unlock()
	}
}

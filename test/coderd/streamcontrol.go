// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Who ended a stream.
const (
	EndedByClient = "client" // with StreamEnd.Code, or 0 where the connection broke or the protocol has no codes
	EndedByServer = "server" // with StreamEnd.Code
	EndedByCut    = "cut"    // by CutStreams or the listener's Stop, without a close frame
)

// StreamEnd is how a stream ended.
type StreamEnd struct {
	Protocol StreamProtocol
	By       string
	// Code is the WebSocket close code; for server-sent events it is the code that was ordered.
	Code int
}

// Streams returns the open streams, by workspace.
func (s *Server) Streams() []Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Stream{}
	for w := range s.workspaces.watchers {
		out = append(out, w.Stream)
	}
	slices.SortFunc(out, func(a, b Stream) int {
		return cmp.Or(
			cmp.Compare(a.WorkspaceID, b.WorkspaceID),
			cmp.Compare(a.KeyID, b.KeyID),
			cmp.Compare(a.Protocol, b.Protocol),
		)
	})
	return out
}

// OpenStreams is the number of open streams.
func (s *Server) OpenStreams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.workspaces.watchers)
}

// Heartbeats counts the heartbeats of all streams so far: WebSocket pings that were answered, ping
// events that were sent.
func (s *Server) Heartbeats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workspaces.beats
}

// StreamEnds counts the streams that have ended, by how they did.
func (s *Server) StreamEnds() map[StreamEnd]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.workspaces.ends)
}

// CutStreams breaks the connections of all open streams without a close frame and returns how many
// there were.
func (s *Server) CutStreams() int {
	return s.eachStream(func(w *watcher) { w.cut() })
}

// CloseStreams closes all open streams with a code, such as 1000, 1001 or 1011, and returns how
// many there were.
func (s *Server) CloseStreams(code int) int {
	return s.eachStream(func(w *watcher) { w.orderClose(code) })
}

func (w *watcher) orderClose(code int) {
	select {
	case w.order <- code:
	default: // it is closing already
	}
}

// endStreams closes all open streams with closeGoingAway, and waits until they or the context have
// ended.
func (s *Server) endStreams(ctx context.Context) {
	var open []*watcher
	s.eachStream(func(w *watcher) {
		w.orderClose(closeGoingAway)
		open = append(open, w)
	})
	for _, w := range open {
		select {
		case <-w.over:
		case <-ctx.Done():
			return
		}
	}
}

// SendGarbage sends a text that is not an event to all open streams: as a text frame, or between
// events.
func (s *Server) SendGarbage(text []byte) int {
	return s.eachStream(func(w *watcher) {
		raw := slices.Clone(text)
		if w.Protocol == StreamEvents {
			raw = append(raw, "\n\n"...)
		}
		w.pushEvent(streamEvent{raw: raw})
	})
}

// SendStreamError sends an error event to all open streams, as when access to the template is lost.
// The streams stay open.
func (s *Server) SendStreamError(message string) int {
	return s.eachStream(func(w *watcher) {
		w.pushEvent(streamEvent{kind: eventError, data: bytes.TrimSpace(encodeJSON(errorJSON{Message: message}))})
	})
}

func (s *Server) eachStream(do func(*watcher)) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.workspaces.watchers {
		do(w)
	}
	return len(s.workspaces.watchers)
}

// pace is how long each event and heartbeat is delayed.
type pace struct {
	delay   time.Duration
	changed chan struct{} // closed when another pace takes its place
}

// SlowStreams delays every event and heartbeat of every stream from now on, in real time. 0 ends
// the delay, also for those that wait already. With a long delay the server looks unresponsive to
// its clients.
func (s *Server) SlowStreams(delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.workspaces.pace.changed)
	s.workspaces.pace = pace{delay: delay, changed: make(chan struct{})}
}

// waitForPace waits for the delay of SlowStreams. It reports whether the stream is still open.
func (w *watcher) waitForPace(gone <-chan struct{}) bool {
	for {
		w.server.mu.Lock()
		p := w.server.workspaces.pace
		w.server.mu.Unlock()
		if p.delay <= 0 {
			return true
		}
		timer := time.NewTimer(p.delay)
		select {
		case <-timer.C:
			return true
		case <-p.changed: // look at the new one
			timer.Stop()
		case <-gone:
			timer.Stop()
			return false
		case <-w.done:
			timer.Stop()
			return false
		}
	}
}

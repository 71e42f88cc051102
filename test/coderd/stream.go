// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

const (
	defaultHeartbeat   = 15 * time.Second // contract D.1
	streamWriteTimeout = 10 * time.Second // per event, contract D.1
)

// Types of a stream's events (contract D.1).
const (
	eventPing  = "ping"
	eventData  = "data"
	eventError = "error"
)

// StreamProtocol is how a stream is sent.
type StreamProtocol string

// The two protocols of contract D.1.
const (
	StreamWebSocket StreamProtocol = "websocket"
	StreamEvents    StreamProtocol = "sse"
)

// Stream describes an open stream. It goes on when the key that opened it is revoked (contract
// G.31).
type Stream struct {
	WorkspaceID string         `json:"workspace_id"`
	UserID      string         `json:"user_id"`
	KeyID       string         `json:"key_id"`
	Protocol    StreamProtocol `json:"protocol"`
}

// streamEvent is one event to be sent. raw, if set, is sent as it is, without an envelope.
type streamEvent struct {
	kind string
	data json.RawMessage // nil: none
	raw  []byte
}

// watcher is an open stream. Only its handler's goroutine sends; others queue events, or a close
// code, for it.
type watcher struct {
	Stream

	server *Server
	wake   chan struct{} // room for one: there is something in pending
	order  chan int      // room for one: the close code to end with
	cut    context.CancelFunc
	done   <-chan struct{} // closed by cut
	// stopped is closed when the listener stops, before its connections are; nil: there is none.
	stopped <-chan struct{}
	over    chan struct{}   // closed when it has ended
	left    <-chan struct{} // closed when the request ends; says nothing about a hijacked connection

	// hidden: the key may not read the template, so that every state is an error event (B.6).
	hidden bool

	pending []streamEvent // guarded by the server's mutex
}

// watchBySocket and watchByEvents check the request like any other; the stream itself runs without
// the server's mutex.
func (c *call) watchBySocket() reply {
	return c.watchWorkspace(StreamWebSocket, (*watcher).serveSocket)
}
func (c *call) watchByEvents() reply { return c.watchWorkspace(StreamEvents, (*watcher).serveEvents) }

func (c *call) watchWorkspace(
	protocol StreamProtocol,
	serve func(*watcher, http.ResponseWriter, *http.Request) StreamEnd,
) reply {
	ws, refused := c.pathWorkspace()
	if refused != nil {
		return *refused
	}
	hidden := !c.mayReadTemplate()
	w := &watcher{hidden: hidden,
		Stream: Stream{WorkspaceID: ws.id, UserID: c.key.user.id, KeyID: c.key.id, Protocol: protocol},
		server: c.Server, wake: make(chan struct{}, 1), order: make(chan int, 1), over: make(chan struct{}),
	}
	return reply{takeOver: func(out http.ResponseWriter, r *http.Request) {
		// A hijacked connection outlives the request's context, so the listener's stop must end it, too.
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		defer cancel()
		w.cut, w.done, w.left = cancel, ctx.Done(), r.Context().Done()
		if l := exchangeOf(r).listener; l != nil {
			w.stopped = l.stopSignal()
			go func() {
				select {
				case <-w.stopped:
					cancel()
				case <-ctx.Done():
				}
			}()
		}
		w.endStream(serve(w, out, r.WithContext(ctx)))
	}}
}

// startStream registers the stream and queues its first events: a ping, then the whole state
// (contract D.1). The request is logged now, because it may stay open for a long time.
func (w *watcher) startStream(r *http.Request, status int) {
	s := w.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workspaces.watchers[w] = struct{}{}
	w.pushEvent(streamEvent{kind: eventPing})
	w.pushEvent(w.stateEvent(s.workspaces.byID[w.WorkspaceID]))
	s.logNow(exchangeOf(r), status)
}

func (w *watcher) endStream(end StreamEnd) {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	if _, entered := w.server.workspaces.watchers[w]; !entered {
		return
	}
	delete(w.server.workspaces.watchers, w)
	close(w.over)
	end.Protocol = w.Protocol
	w.server.workspaces.ends[end]++
}

// publishState queues the whole state of a workspace for all its watchers. The mutex must be held.
func (s *Server) publishState(ws *workspace) {
	for w := range s.workspaces.watchers {
		if w.WorkspaceID == ws.id {
			w.pushEvent(w.stateEvent(ws))
		}
	}
}

// stateEvent is an event with the whole state, or the error that the stream's key gets instead.
func (w *watcher) stateEvent(ws *workspace) streamEvent {
	if w.hidden {
		return streamEvent{kind: eventError, data: bytes.TrimSpace(encodeJSON(forbiddenReply().body))}
	}
	return streamEvent{kind: eventData, data: bytes.TrimSpace(encodeJSON(ws.toJSON()))}
}

// pushEvent queues an event for the stream. A state replaces one that has not been sent yet
// (contract D.1). The mutex must be held.
func (w *watcher) pushEvent(e streamEvent) {
	if last := len(w.pending) - 1; last >= 0 && e.kind == eventData && w.pending[last].kind == eventData {
		w.pending = w.pending[:last]
	}
	w.pending = append(w.pending, e)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) takePending() []streamEvent {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	events := slices.Clone(w.pending)
	w.pending = nil
	return events
}

// runStream sends events and heartbeats until the stream ends. gone is closed when the client has
// disconnected. It reports how the server ended the stream: the close code that was ordered, or 0
// for a cut. ok is false if the client or the connection ended it.
func (w *watcher) runStream(gone <-chan struct{}, send func(streamEvent) error, beat func() error) (code int, ok bool) {
	heartbeat := time.NewTicker(w.server.currentOptions().heartbeatInterval())
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case <-w.wake:
			err = w.sendPending(gone, send)
		case <-heartbeat.C:
			if w.waitForPace(gone) {
				err = beat()
				w.countHeartbeat()
			}
		case code := <-w.order:
			return code, true
		case <-gone:
			return 0, w.wasCut()
		case <-w.done:
			return 0, true
		}
		if err != nil {
			return w.classifyWriteFailure(gone)
		}
	}
}

func (w *watcher) sendPending(gone <-chan struct{}, send func(streamEvent) error) error {
	for _, e := range w.takePending() {
		if !w.waitForPace(gone) {
			return nil // runStream finds out why
		}
		if err := send(e); err != nil {
			return err
		}
	}
	return nil
}

// classifyWriteFailure tells a write that failed because the stream has ended from one that ends
// the stream.
func (w *watcher) classifyWriteFailure(gone <-chan struct{}) (code int, ok bool) {
	select {
	case <-gone:
		return 0, w.wasCut()
	case <-w.done:
		return 0, true
	default:
		return closeInternalError, true
	}
}

func (w *watcher) countHeartbeat() {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	w.server.workspaces.beats++
}

func (w *watcher) wasCut() bool {
	select {
	case <-w.done:
		return true
	case <-w.stopped:
		return true
	default:
		return false
	}
}

// Close codes that the server chooses by itself: when it shuts down, and after a failed write
// (contract D.1).
const (
	closeGoingAway     = 1001
	closeInternalError = 1011
)

func (o Options) heartbeatInterval() time.Duration {
	if o.StreamHeartbeat > 0 {
		return o.StreamHeartbeat
	}
	return defaultHeartbeat
}

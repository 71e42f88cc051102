// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/tmaxmax/go-sse"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

const (
	// maxFrame bounds one event, in bytes (B93). Each holds a whole workspace with all its resources.
	maxFrame = 4 << 20
	// hangUpGrace bounds the wait for the other side's answer to a close.
	hangUpGrace = time.Second
)

// Types of events (contract D.1).
const (
	framePing  = "ping"
	frameData  = "data"
	frameError = "error"
)

// frame is one event. Its kind is empty where the server sent something that is none.
type frame struct {
	kind string
	data []byte
}

// wire is an open connection. Nothing is ever sent on it: the server closes on any message (contract D.1).
type wire interface {
	// read hands over frames until the connection ends, and returns why. Frames are handled on its goroutine.
	read(handle func(frame)) error
	// hangUp closes in good order and cut at once. Both end a read, and may be called more than once and from anywhere.
	hangUp()
	cut()
}

// line is what a wire is opened with.
type line struct {
	client      *coder.Client
	workspaceID string
	protocol    coder.WatchProtocol
	clock       clock.WithDelayedExecution
	// alive is called whenever anything comes from the server, heartbeats included.
	alive func()
}

// openWire dials. ctx bounds the dial, and the life of an event stream.
func openWire(ctx context.Context, l line) (wire, error) {
	opening, err := l.client.Watch(ctx, l.workspaceID, l.protocol)
	if err != nil {
		return nil, err
	}
	if l.protocol == coder.WatchEvents {
		return openEvents(ctx, l, opening)
	}
	return openSocket(ctx, l, opening)
}

// socket is a WebSocket.
type socket struct {
	conn  *websocket.Conn
	line  line
	ctx   context.Context // of reading; its end closes the connection without a word
	sever context.CancelFunc
}

func openSocket(ctx context.Context, l line, opening coder.Opening) (wire, error) {
	conn, _, err := websocket.Dial(ctx, opening.URL, &websocket.DialOptions{ //nolint:bodyclose // the library closes it
		HTTPClient:     opening.HTTP,
		OnPingReceived: func(context.Context, []byte) bool { l.alive(); return true },
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxFrame)
	s := &socket{conn: conn, line: l}
	s.ctx, s.sever = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

func (s *socket) read(handle func(frame)) error {
	for {
		_, text, err := s.conn.Read(s.ctx)
		if err != nil {
			return err
		}
		s.line.alive()
		var envelope struct {
			Type string          `json:"type"`
			Data json.RawMessage `json:"data"`
		}
		if json.Unmarshal(text, &envelope) != nil {
			envelope.Type = ""
		}
		handle(frame{kind: envelope.Type, data: envelope.Data})
	}
}

// hangUp says goodbye. The answer is read by read, which must be under way or come.
func (s *socket) hangUp() {
	impatient := s.line.clock.AfterFunc(hangUpGrace, func() { go s.sever() })
	defer impatient.Stop()
	_ = s.conn.Close(websocket.StatusNormalClosure, "") // who does not answer is severed
}

func (s *socket) cut() {
	s.sever()
	_ = s.conn.CloseNow()
}

// events is a stream of server-sent events. They know no goodbye.
type events struct {
	body  io.ReadCloser
	line  line
	sever context.CancelFunc
}

func openEvents(ctx context.Context, l line, opening coder.Opening) (wire, error) {
	ctx, sever := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, opening.URL, nil)
	if err != nil {
		sever()
		return nil, err
	}
	resp, err := opening.HTTP.Do(req) //nolint:bodyclose // it is the stream; cut closes it
	if err != nil {
		sever()
		return nil, err
	}
	return &events{body: resp.Body, line: l, sever: sever}, nil
}

func (e *events) read(handle func(frame)) error {
	var failed error
	for event, err := range sse.Read(listening{e.body, e.line.alive}, &sse.ReadConfig{MaxEventSize: maxFrame}) {
		if err != nil {
			failed = err
			break
		}
		handle(frame{kind: event.Type, data: []byte(event.Data)})
	}
	if failed == nil {
		failed = io.EOF
	}
	return failed
}

func (e *events) hangUp() { e.cut() }

func (e *events) cut() {
	e.sever()
	e.body.Close()
}

// listening tells of everything that is read, comments between events included.
type listening struct {
	io.Reader
	alive func()
}

// Read reads.
func (l listening) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.alive()
	}
	return n, err
}

var errSilent = errors.New("nothing came from the server for too long")

// ended says what the end of a connection calls for, and why it ended. The text holds nothing of the server's choosing.
func ended(err error) (ending, error) {
	code := websocket.CloseStatus(err)
	switch code {
	case -1:
		return broken, errors.New("the connection broke: " + redact.Text(err.Error()))
	case websocket.StatusNormalClosure, websocket.StatusGoingAway:
		return finished, closedError(code)
	case websocket.StatusProtocolError, websocket.StatusUnsupportedData:
		return rejected, closedError(code)
	default:
		return broken, closedError(code)
	}
}

func closedError(code websocket.StatusCode) error {
	return fmt.Errorf("the server closed the stream with code %d", code)
}

// declined says what a failed dial calls for. Where the client has an error of its own, that is why it failed.
func declined(err error) (event, error) {
	e := event{kind: refused, failure: coder.WatchFailureOf(err)}
	var known *coder.Error
	if !errors.As(err, &known) {
		return e, errors.New("the handshake failed: " + redact.Text(err.Error()))
	}
	e.after = known.RetryAfter
	return e, known
}

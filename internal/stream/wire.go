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
	// maxFrame is the maximum size of one event, in bytes (B93). Each contains a whole workspace with
	// all its resources.
	maxFrame = 4 << 20
	// closeGrace is how long to wait for the other side's close frame.
	closeGrace = time.Second
)

// Types of events (contract D.1).
const (
	framePing  = "ping"
	frameData  = "data"
	frameError = "error"
)

// frame is one event. Its kind is empty if the server sent something that is not an event.
type frame struct {
	kind string
	data []byte
}

// wire is an open connection. Nothing is ever sent on it, because the server closes it on any
// message (contract D.1).
type wire interface {
	// read passes frames to handle until the connection ends, and returns why it ended. It calls
	// handle on the goroutine that called read.
	read(handle func(frame)) error
	// closeGracefully closes with a close frame, closeNow without. Both end a read, and may be called
	// more than once and concurrently.
	closeGracefully()
	closeNow()
}

// dialOptions are the parameters of a wire.
type dialOptions struct {
	client      *coder.Client
	workspaceID string
	protocol    coder.WatchProtocol
	clock       clock.WithDelayedExecution
	// onActivity is called whenever anything is received, including heartbeats.
	onActivity func()
}

// openWire dials. ctx limits the dial, and how long an event stream stays open.
func openWire(ctx context.Context, l dialOptions) (wire, error) {
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
	conn    *websocket.Conn
	options dialOptions
	ctx     context.Context // of reading; when it ends, the connection is closed without a close frame
	cancel  context.CancelFunc
}

func openSocket(ctx context.Context, l dialOptions, opening coder.Opening) (wire, error) {
	conn, _, err := websocket.Dial(ctx, opening.URL, &websocket.DialOptions{ //nolint:bodyclose // the library closes it
		HTTPClient:     opening.HTTP,
		OnPingReceived: func(context.Context, []byte) bool { l.onActivity(); return true },
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxFrame)
	s := &socket{conn: conn, options: l}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

func (s *socket) read(handle func(frame)) error {
	for {
		_, text, err := s.conn.Read(s.ctx)
		if err != nil {
			return err
		}
		s.options.onActivity()
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

// closeGracefully sends a close frame. The response is received by read, which must be running or
// be called later.
func (s *socket) closeGracefully() {
	impatient := s.options.clock.AfterFunc(closeGrace, func() { go s.cancel() })
	defer impatient.Stop()
	_ = s.conn.Close(websocket.StatusNormalClosure, "") // a server that does not answer is cut off by the timer
}

func (s *socket) closeNow() {
	s.cancel()
	_ = s.conn.CloseNow()
}

// events is a stream of server-sent events. The protocol has no close frame.
type events struct {
	body    io.ReadCloser
	options dialOptions
	cancel  context.CancelFunc
}

func openEvents(ctx context.Context, l dialOptions, opening coder.Opening) (wire, error) {
	ctx, sever := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, opening.URL, nil)
	if err != nil {
		sever()
		return nil, err
	}
	resp, err := opening.HTTP.Do(req) //nolint:bodyclose // it is the stream; closeNow closes it
	if err != nil {
		sever()
		return nil, err
	}
	return &events{body: resp.Body, options: l, cancel: sever}, nil
}

func (e *events) read(handle func(frame)) error {
	var failed error
	for event, err := range sse.Read(listening{e.body, e.options.onActivity}, &sse.ReadConfig{MaxEventSize: maxFrame}) {
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

func (e *events) closeGracefully() { e.closeNow() }

func (e *events) closeNow() {
	e.cancel()
	e.body.Close()
}

// listening calls onActivity for everything that is read, including comments between events.
type listening struct {
	io.Reader
	onActivity func()
}

// Read reads.
func (l listening) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.onActivity()
	}
	return n, err
}

var errSilent = errors.New("nothing came from the server for too long")

// classifyEnd returns the class of a connection's end, and its cause. The text contains nothing
// that the server sent.
func classifyEnd(err error) (ending, error) {
	code := websocket.CloseStatus(err)
	switch code {
	case -1:
		return broken, errors.New("the connection broke: " + redact.Text(err.Error()))
	case websocket.StatusNormalClosure: // not 1001, which is a lost connection (contract D.1)
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

// classifyDialError returns the event for a failed dial, and its cause: the client's own error if
// there is one.
func classifyDialError(err error) (event, error) {
	e := event{kind: refused, failure: coder.WatchFailureOf(err)}
	var known *coder.Error
	if !errors.As(err, &known) {
		return e, errors.New("the handshake failed: " + redact.Text(err.Error()))
	}
	e.after = known.RetryAfter
	return e, known
}

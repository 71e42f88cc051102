// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

const (
	// closeGrace is how long to wait for the other side's close frame.
	closeGrace = time.Second
)

// Types of events (contract D.1).
const (
	framePing  = "ping"
	frameData  = "data"
	frameError = "error"
)

// wire is an open connection. Nothing is ever sent on it, because the server closes it on any
// message (contract D.1).
type wire interface {
	// read passes events to handle until the connection ends, and returns why it ended. It calls
	// handle on the goroutine that called read.
	read(handle func(coder.Event)) error
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
	// body is the connection below.
	body io.Closer
}

// bodyKeeper keeps the body of the last response.
type bodyKeeper struct {
	http.RoundTripper
	body io.Closer
}

// RoundTrip sends the request.
func (k *bodyKeeper) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := k.RoundTripper.RoundTrip(req)
	if err == nil {
		k.body = resp.Body
	}
	return resp, err
}

func openSocket(ctx context.Context, l dialOptions, opening coder.Opening) (wire, error) {
	keeper := &bodyKeeper{RoundTripper: opening.HTTP.Transport}
	client := *opening.HTTP
	client.Transport = keeper
	conn, _, err := websocket.Dial(ctx, opening.URL, &websocket.DialOptions{ //nolint:bodyclose // the library closes it
		HTTPClient:     &client,
		OnPingReceived: func(context.Context, []byte) bool { l.onActivity(); return true },
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(coder.MaxEvent)
	s := &socket{conn: conn, options: l, body: keeper.body}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

func (s *socket) read(handle func(coder.Event)) error {
	for {
		_, message, err := s.conn.Reader(s.ctx)
		if err != nil {
			return err
		}
		s.options.onActivity()
		event, err := s.options.client.ReadEvent(message)
		if err == nil {
			_, err = io.Copy(io.Discard, message) // what an invalid event leaves
		}
		if err != nil {
			return err
		}
		handle(event)
	}
}

// closeGracefully sends a close frame. The response is received by read, which must be running or
// be called later. The library reads what is left of a frame without a limit on its size or time (B130):
// closing the connection below ends that.
func (s *socket) closeGracefully() {
	impatient := s.options.clock.AfterFunc(closeGrace, func() { go s.breakOff() })
	defer impatient.Stop()
	_ = s.conn.Close(websocket.StatusNormalClosure, "") // a server that does not answer is cut off by the timer
}

// breakOff closes the connection below.
func (s *socket) breakOff() {
	s.cancel()
	_ = s.body.Close()
}

func (s *socket) closeNow() {
	s.breakOff()
	_ = s.conn.CloseNow()
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

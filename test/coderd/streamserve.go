// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// envelope is a text frame's content (contract D.1).
type envelope struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"` // null where there is none
}

// serveSocket sends the stream as WebSocket text frames.
func (w *watcher) serveSocket(out http.ResponseWriter, r *http.Request) StreamEnd {
	conn, err := websocket.Accept(out, r, nil)
	if err != nil {
		return StreamEnd{} // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	// A ping must not wait for its answer after the client has disconnected.
	ctx, forget := context.WithCancel(r.Context())
	defer forget()
	w.startStream(r, http.StatusSwitchingProtocols)
	gone := make(chan struct{})
	byClient := StreamEnd{By: EndedByClient}
	go func() {
		defer forget()
		defer close(gone)
		_, _, err := conn.Read(ctx)
		var closed websocket.CloseError
		switch {
		case err == nil: // a message; the client must not send any
			byClient.Code = int(websocket.StatusProtocolError)
			byClient.By = EndedByServer
			_ = conn.Close(websocket.StatusProtocolError, "no message was expected")
		case errors.As(err, &closed):
			byClient.Code = int(closed.Code)
		}
	}()
	send := func(e streamEvent) error {
		ctx, cancel := context.WithTimeout(ctx, streamWriteTimeout)
		defer cancel()
		text := e.raw
		if text == nil {
			text = bytes.TrimSpace(encodeJSON(envelope{Type: e.kind, Data: e.data}))
		}
		return conn.Write(ctx, websocket.MessageText, text)
	}
	beat := func() error {
		ctx, cancel := context.WithTimeout(ctx, streamWriteTimeout)
		defer cancel()
		return conn.Ping(ctx)
	}
	code, ours := w.runStream(gone, send, beat)
	if ours && code != 0 {
		_ = conn.Close(websocket.StatusCode(code), "")
	}
	_ = conn.CloseNow()
	<-gone
	// If a write failed because the connection was being closed, report what closed it instead.
	failed := code == closeInternalError && byClient.Code != 0 && byClient.Code != code
	switch {
	case !ours, failed:
		return byClient
	case code == 0:
		return StreamEnd{By: EndedByCut}
	default:
		return StreamEnd{By: EndedByServer, Code: code}
	}
}

// serveEvents sends the stream as server-sent events. They have no close codes: a stream that is
// closed just ends.
func (w *watcher) serveEvents(out http.ResponseWriter, r *http.Request) StreamEnd {
	control := http.NewResponseController(out)
	out.Header().Set("Content-Type", "text/event-stream")
	out.Header().Set("Cache-Control", "no-cache")
	out.Header().Set("X-Accel-Buffering", "no")
	out.WriteHeader(http.StatusOK)
	if err := control.Flush(); err != nil {
		return StreamEnd{} // a writer that buffers the whole answer cannot stream
	}
	w.startStream(r, http.StatusOK)
	send := func(e streamEvent) error {
		text := e.raw
		if text == nil {
			text = eventText(e)
		}
		if err := control.SetWriteDeadline(time.Now().Add(streamWriteTimeout)); err != nil {
			return err
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
		return control.Flush()
	}
	code, ours := w.runStream(w.left, send, func() error { return send(streamEvent{kind: eventPing}) })
	if ours && code == 0 {
		w.endStream(StreamEnd{By: EndedByCut})
		panic(http.ErrAbortHandler)
	}
	if !ours {
		return StreamEnd{By: EndedByClient}
	}
	return StreamEnd{By: EndedByServer, Code: code}
}

// eventText is an event in the format of server-sent events; JSON is one line.
func eventText(e streamEvent) []byte {
	text := []byte("event: " + e.kind + "\n")
	if e.data != nil {
		text = append(append(append(text, "data: "...), e.data...), '\n')
	}
	return append(text, '\n')
}

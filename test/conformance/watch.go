// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// watchTimeout bounds how long a stream's first events are waited for. Real servers ping after 15 s.
const watchTimeout = 30 * time.Second

// watched is the body that stands for a stream: the types of its first events, and the code with
// which the server closes it after a message of the client's.
type watched struct {
	Events []string `json:"events"`
	Close  int      `json:"close,omitempty"`
}

// watch reads the first two events of a stream (contract D.1). "socket-talk" then sends a message.
func (a *asking) watch(ctx context.Context, kind string, r request) (*response, error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	if kind == "events" {
		return a.watchEvents(ctx, r)
	}
	return a.watchSocket(ctx, kind == "socket-talk", r)
}

func streamResponse(status int, header http.Header, seen watched) (*response, error) {
	body, err := json.Marshal(seen)
	header = header.Clone()
	header.Set("Content-Type", "application/json")
	return &response{status: status, header: header, body: body}, err
}

func (a *asking) watchEvents(ctx context.Context, r request) (*response, error) {
	req, err := a.newRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	res, err := a.http.Do(req)
	if err != nil {
		return nil, withoutQuery(err)
	}
	defer func() { _ = res.Body.Close() }()
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return &response{status: res.StatusCode, header: res.Header}, nil
	}
	var seen watched
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	for len(seen.Events) < 2 && lines.Scan() {
		if kind, found := strings.CutPrefix(lines.Text(), "event: "); found {
			seen.Events = append(seen.Events, kind)
		}
	}
	return streamResponse(res.StatusCode, res.Header, seen)
}

func (a *asking) watchSocket(ctx context.Context, talk bool, r request) (*response, error) {
	header := http.Header{}
	for name, value := range r.headers {
		header.Set(name, value)
	}
	options := &websocket.DialOptions{HTTPClient: a.http, HTTPHeader: header}
	conn, res, err := websocket.Dial(ctx, a.base.String()+r.path, options) //nolint:bodyclose // Dial says it need not be
	if err != nil {
		if res == nil {
			return nil, withoutQuery(err)
		}
		return refusedSocket(res)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxAnswerBytes)
	var seen watched
	for len(seen.Events) < 2 {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the stream: %w", err)
		}
		var event struct{ Type string }
		if err := json.Unmarshal(text, &event); err != nil {
			return nil, fmt.Errorf("reading the stream: %w", err)
		}
		seen.Events = append(seen.Events, event.Type)
	}
	if talk {
		seen.Close = closeAfterMessage(ctx, conn)
	}
	return streamResponse(res.StatusCode, res.Header, seen)
}

// closeAfterMessage sends a message, which clients must not, and returns the server's close code.
func closeAfterMessage(ctx context.Context, conn *websocket.Conn) int {
	if err := conn.Write(ctx, websocket.MessageText, []byte("{}")); err != nil {
		return int(websocket.CloseStatus(err))
	}
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

// refusedSocket reads the answer to a handshake that was refused.
func refusedSocket(res *http.Response) (*response, error) {
	var body []byte
	if res.Body != nil {
		defer func() { _ = res.Body.Close() }()
		buffer := make([]byte, 1024)
		n, _ := res.Body.Read(buffer)
		body = buffer[:n]
	}
	return &response{status: res.StatusCode, header: res.Header, body: body}, nil
}

var errFlood = errors.New("no request after the number of a flood")

// flood sends a request so often that the next one is refused. The bodies are not looked at.
func (a *asking) flood(ctx context.Context, count, text string) error {
	var n int
	if _, err := fmt.Sscan(count, &n); err != nil {
		return errFlood
	}
	method, rest, _ := strings.Cut(text, " ")
	path, body, _ := strings.Cut(rest, " ")
	token := ""
	if !strings.HasSuffix(path, "/login") {
		admin, err := a.user(ctx, "admin")
		if err != nil {
			return err
		}
		if token, err = a.standingToken(ctx, admin); err != nil {
			return err
		}
	}
	for range n {
		res, err := a.send(ctx, request{
			method: method, path: path, body: body, headers: map[string]string{sessionHeader: token}, busyIsAnswer: true,
		})
		if err != nil || res.status == http.StatusTooManyRequests {
			return err
		}
	}
	return nil
}

// encodeBasic encodes the credentials of "Basic id:secret"; other schemes stay as they are.
func encodeBasic(value string) string {
	credentials, found := strings.CutPrefix(value, "Basic ")
	if !found || !strings.Contains(credentials, ":") {
		return value
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

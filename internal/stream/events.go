// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

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

func (e *events) read(handle func(coder.Event)) error {
	lines := &eventLines{client: e.options.client, src: bufio.NewReader(listening{e.body, e.options.onActivity})}
	for {
		event, found, err := lines.nextEvent()
		if err != nil {
			return err
		}
		if found {
			handle(event)
		}
	}
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

// Fields of an event (HTML Living Standard, section 9.2.6). Others are ignored, as comments are.
const (
	fieldEvent = "event"
	fieldData  = "data"
	// maxField is the maximum length of a field's name, and of an event's type, in bytes. What is longer
	// is none of those that are known.
	maxField = 16
)

var errEventTooLarge = errors.New("the server sent an event that is too large")

// eventLines reads events from a stream of lines. Its Read returns the data of the current event, so
// that no line and no event is in memory as a whole (B130).
type eventLines struct {
	client  *coder.Client
	src     *bufio.Reader
	kind    string // the type of the current event
	fields  int    // how many fields of the current event were known
	size    int    // of the current event so far, in bytes
	inData  bool   // the next byte is one of the data
	dataSep bool   // there was a line of data before
	ended   bool   // the empty line after the event was read
	afterCR bool   // the last line ended with a carriage return
}

// nextEvent reads the next event. found is false if there was none between two empty lines.
func (l *eventLines) nextEvent() (event coder.Event, found bool, err error) {
	*l = eventLines{client: l.client, src: l.src, afterCR: l.afterCR}
	event, err = l.client.ReadEventData("", l)
	if err == nil {
		_, err = io.Copy(io.Discard, l) // what follows the data, if they were not read as a whole
	}
	event.Type = l.kind
	return event, l.fields > 0, err
}

// Read returns some of the event's data, and io.EOF at the end of the event. The end of the stream is
// another error.
func (l *eventLines) Read(p []byte) (int, error) {
	for n := 0; ; {
		if !l.inData && !l.ended {
			joined, err := l.nextLine()
			if err != nil {
				return n, err
			}
			if joined {
				p[n] = '\n' // between two lines of data
				n++
			}
		}
		if l.ended {
			return n, io.EOF
		}
		for l.inData && n < len(p) {
			c, err := l.readByte()
			if err != nil {
				return n, err
			}
			if c == '\n' {
				l.inData = false
				break
			}
			p[n] = c
			n++
		}
		if n == len(p) {
			return n, nil
		}
	}
}

// nextLine reads a line, up to the value if it is one of data. joined: it continues earlier data.
func (l *eventLines) nextLine() (joined bool, err error) {
	name, c, err := l.readWord(":\n")
	if err != nil {
		return false, err
	}
	if name == "" && c == '\n' {
		l.ended = true
		return false, nil
	}
	if c == ':' {
		if next, err := l.src.Peek(1); err == nil && next[0] == ' ' {
			_, _ = l.src.Discard(1)
		}
	}
	switch {
	case name == fieldData:
		l.fields++
		joined, l.dataSep = l.dataSep, true
		l.inData = c == ':'
		return joined, nil
	case c == '\n':
		return false, nil
	}
	value, _, err := l.readWord("\n")
	if err == nil && name == fieldEvent {
		l.fields++
		l.kind = value
	}
	return false, err
}

// readWord reads up to one of the characters in ends, and returns that, too. The word is cut to
// maxField and one byte more.
func (l *eventLines) readWord(ends string) (word string, end byte, err error) {
	var buffer [maxField + 1]byte
	for n := 0; ; {
		c, err := l.readByte()
		if err != nil {
			return "", 0, err
		}
		for i := range len(ends) {
			if ends[i] == c {
				return string(buffer[:n]), c, nil
			}
		}
		if n < len(buffer) {
			buffer[n] = c
			n++
		}
	}
}

// readByte reads a byte. Each end of a line is a line feed: CR LF, CR and LF.
func (l *eventLines) readByte() (byte, error) {
	c, err := l.src.ReadByte()
	if err == nil && c == '\n' && l.afterCR {
		c, err = l.src.ReadByte()
	}
	switch {
	case errors.Is(err, io.EOF):
		return 0, io.ErrUnexpectedEOF // io.EOF is the end of an event
	case err != nil:
		return 0, err
	}
	if l.size++; l.size > coder.MaxEvent {
		return 0, errEventTooLarge
	}
	if l.afterCR = c == '\r'; l.afterCR {
		return '\n', nil
	}
	return c, nil
}

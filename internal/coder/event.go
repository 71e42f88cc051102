// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"errors"
	"io"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
)

// MaxEvent is the maximum size of an event of a workspace's stream, in bytes (B93). Each contains a
// whole workspace with all its resources.
const MaxEvent = 4 << 20

// eventLimits leave out all but the workspace's own members and those of its latest build (B130).
var eventLimits = boundedjson.Limits{Read: MaxEvent, Value: 32 << 10, String: 4 << 10, Depth: 2}

// Event is one event of a workspace's stream (contract D.1).
type Event struct {
	// Type is data, error or ping. It is empty if the server sent something that is not an event.
	Type string

	client  *Client
	data    eventBody
	invalid bool // the data are not of the expected shape
}

// eventBody has the members of all kinds of data: of a workspace, and of an error.
type eventBody struct {
	workspaceBody
	Message string `json:"message"`
}

// ReadEvent reads a message of a WebSocket: an object with the type and the data of an event. The
// error is that of the reader.
func (c *Client) ReadEvent(r io.Reader) (Event, error) {
	limits := eventLimits
	limits.Depth++
	e := Event{client: c}
	var kind boundedjson.Word
	d := boundedjson.NewDecoder(r, limits)
	err := d.Object(func(name string) error {
		switch name {
		case "type":
			return d.Value(&kind)
		case "data":
			err := d.Value(&e.data)
			e.invalid = e.invalid || errors.Is(err, boundedjson.ErrShape)
			if e.invalid {
				return nil // an error of the syntax is returned by what comes next
			}
			return err
		}
		return d.Skip()
	})
	if err == nil {
		err = d.End()
	}
	if e.Type = string(kind); err != nil {
		e = Event{client: c}
	}
	return e, readerError(err)
}

// ReadEventData reads the data of an event of the given type. The error is that of the reader.
func (c *Client) ReadEventData(kind string, r io.Reader) (Event, error) {
	e := Event{client: c, Type: kind}
	err := boundedjson.Decode(r, eventLimits, &e.data)
	e.invalid = err != nil
	return e, readerError(err)
}

// readerError returns the error of the reader in err's chain, or nil.
func readerError(err error) error {
	var read *boundedjson.ReadError
	if errors.As(err, &read) {
		return read.Err
	}
	return nil
}

// Workspace returns the state that an event of the type data has. The error is Malformed and does not
// quote it.
func (e Event) Workspace() (Workspace, error) {
	if e.invalid {
		return Workspace{}, &Error{Kind: Malformed, Op: OpWatch, Message: "the event is not the JSON that was expected"}
	}
	if wrong := e.data.findProblem(); wrong != "" {
		return Workspace{}, &Error{Kind: Malformed, Op: OpWatch, Message: wrong}
	}
	workspace := e.data.toWorkspace()
	e.client.hideInWorkspace(&workspace)
	return workspace, nil
}

// Complaint returns the message of an event of the type error as one line. The detail is not part of
// it: it is about the workspace, or trouble of the server (B123).
func (e Event) Complaint() string {
	if e.invalid || e.data.Message == "" {
		return "an error without a message"
	}
	return e.client.cleanText(e.data.Message)
}

// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// Target is the workspace of a stream.
type Target struct {
	// Deployment is the key of the deployment whose connection is used.
	Deployment types.NamespacedName
	// WorkspaceID is the workspace's UUID. A name is not enough, because another workspace can take it
	// over.
	WorkspaceID string
}

// View is what is known through a stream.
type View struct {
	State State
	// Workspace is the last state that the server sent, possibly on an earlier connection. It is zero
	// until the server has sent one.
	Workspace coder.Workspace
	// ChangedAt is when Workspace changed, by the local clock. It is zero if it never did.
	ChangedAt time.Time
	// Err is why the stream is not connected. It may wrap a *coder.Error. It is nil while the stream
	// is connected, and before the first attempt has failed. Its text contains no credentials.
	Err error
}

// Notification tells the holders of a stream to look again: the workspace has changed, or the
// stream was connected, has lost its connection, was stopped or was closed. Repeated failures to
// dial send none. The notifications of one stream are sent one at a time, each with the latest
// view; changes during a call are reported by the next one.
type Notification struct {
	Target  Target
	Holders []types.NamespacedName
	View    View
}

// ConnectionEvent is an event of one connection, for metrics and logs.
type ConnectionEvent struct {
	Target   Target
	Kind     ConnectionEventKind
	Protocol coder.WatchProtocol
	// Err has details for all kinds but Opened. Its text contains no credentials.
	Err error
}

// ConnectionEventKind is the kind of a ConnectionEvent.
type ConnectionEventKind string

// The kinds of connection events.
const (
	// Opened: the server has sent its first message.
	Opened ConnectionEventKind = "Opened"
	// Refused: a dial failed.
	Refused ConnectionEventKind = "Refused"
	// Lost: a connection ended, and the operator did not end it.
	Lost ConnectionEventKind = "Lost"
	// ServerError: the server reported an error, which does not end the connection (contract D.1).
	ServerError ConnectionEventKind = "ServerError"
	// InvalidEvent: the server sent something that is not an event, or an event of another workspace.
	// It was skipped.
	InvalidEvent ConnectionEventKind = "InvalidEvent"
)

// ErrSuspended is the View.Err of a deployment that is suspended.
var ErrSuspended = errors.New("suspended")

var (
	errNoEvent = errors.New("not an event")
	errOther   = errors.New("the event is of another workspace")
)

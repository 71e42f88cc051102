// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// Target is the workspace that a stream is about.
type Target struct {
	// Deployment is the key of the connection that the stream is opened through.
	Deployment types.NamespacedName
	// WorkspaceID is the workspace's UUID: a name can pass on to another workspace.
	WorkspaceID string
}

// View is what a stream knows.
type View struct {
	State State
	// Workspace is what the server told last, perhaps on an earlier connection; zero until it told anything.
	Workspace coder.Workspace
	// ChangedAt is when Workspace came to be different, by the local clock; zero where it never was.
	ChangedAt time.Time
	// Err is why the stream is not connected: an error in whose chain there may be a *coder.Error; nil while it is, and before
	// the first attempt has failed. Its text holds no credentials.
	Err error
}

// Notification tells the holders of a stream to look again: the workspace has changed, or the stream connected, lost its
// connection, was parked or closed. Dials that go on failing are not told. Hints of one stream come one at a time, each with
// the latest view; what happens meanwhile is told by the next.
type Notification struct {
	Target  Target
	Holders []types.NamespacedName
	View    View
}

// ConnectionEvent is something that metrics and logs want to know of, for each connection.
type ConnectionEvent struct {
	Target   Target
	Kind     OccurrenceKind
	Protocol coder.WatchProtocol
	// Err says more of all but Opened. Its text holds no credentials.
	Err error
}

// OccurrenceKind is a kind of occurrence.
type OccurrenceKind string

// The kinds of occurrences.
const (
	// Opened: the server has said its first word.
	Opened OccurrenceKind = "Opened"
	// Refused: a dial failed.
	Refused OccurrenceKind = "Refused"
	// Lost: a connection ended, and not by this side.
	Lost OccurrenceKind = "Lost"
	// ServerError: the server told of an error, which ends nothing (contract D.1).
	ServerError OccurrenceKind = "Complaint"
	// InvalidEvent: the server sent what is no event, or not of this workspace. It was passed over.
	InvalidEvent OccurrenceKind = "Garbage"
)

// ErrSuspended says in View.Err that the deployment is out of use.
var ErrSuspended = errors.New("suspended")

var (
	errNoEvent = errors.New("not an event")
	errOther   = errors.New("the event is of another workspace")
)

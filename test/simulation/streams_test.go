// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
)

// simStreams behaves like stream.Set, without goroutines: what a stream.Set does on goroutines of its
// own (dials, reads, waits, notifications) are steps here, which are taken one at a time. That both
// behave alike is checked by TestSimulatedStreamsBehaveLikeRealOnes.
type simStreams struct {
	options stream.Options
	// steps measures the time until steps are due; lag is how long a step on another goroutine takes.
	steps clock.PassiveClock
	lag   func() time.Duration
	// state returns a workspace as the server at a URL has it now.
	state func(origin, workspaceID string) (coder.Workspace, bool)
	trace func(format string, args ...any)
	// answered is called after each handshake.
	answered func()

	closed      bool
	deployments map[types.NamespacedName]*simVerified
	targets     map[types.NamespacedName]stream.Target // by holder
	streams     []*simStream                           // in the order in which they were created
}

var _ controllers.Streams = (*simStreams)(nil)

// simVerified are the settings of a deployment that its streams share.
type simVerified struct {
	client      *coder.Client // nil: none yet, or suspended
	fingerprint string
}

// States counts nothing: the simulation has no metrics of streams.
func (*simStreams) States() map[stream.State]int { return nil }

// simStep is something that happens on a goroutine of a stream.Set.
type simStep struct {
	due time.Time
	do  func()
}

// newSimStreams returns streams whose steps take no time and leave no trace.
func newSimStreams(o stream.Options, steps clock.PassiveClock) *simStreams {
	return &simStreams{
		options: o, steps: steps, lag: func() time.Duration { return 0 }, trace: func(string, ...any) {},
		answered:    func() {},
		deployments: map[types.NamespacedName]*simVerified{}, targets: map[types.NamespacedName]stream.Target{},
	}
}

// runnable lists the steps that are due.
func (s *simStreams) runnable() (steps []func()) {
	for _, st := range s.streams {
		for _, lane := range st.lanes() {
			if first := (*lane)[0]; !first.due.After(s.steps.Now()) {
				steps = append(steps, func() {
					*lane = (*lane)[1:]
					first.do()
				})
			}
		}
	}
	return steps
}

// next returns when the next step is due; zero if there is none.
func (s *simStreams) next() (first time.Time) {
	for _, st := range s.streams {
		for _, lane := range st.lanes() {
			if due := (*lane)[0].due; first.IsZero() || due.Before(first) {
				first = due
			}
		}
	}
	return first
}

func (s *simStreams) settingsOf(key types.NamespacedName) *simVerified {
	if s.deployments[key] == nil {
		s.deployments[key] = &simVerified{}
	}
	return s.deployments[key]
}

// find returns the stream of a target; nil: there is none.
func (s *simStreams) find(target stream.Target) *simStream {
	i := slices.IndexFunc(s.streams, func(st *simStream) bool { return st.target == target })
	if i < 0 {
		return nil
	}
	return s.streams[i]
}

// of lists the streams of a deployment.
func (s *simStreams) of(key types.NamespacedName) (found []*simStream) {
	for _, st := range s.streams {
		if st.target.Deployment == key {
			found = append(found, st)
		}
	}
	return found
}

// Look is Look of a stream.Set.
func (s *simStreams) Look(holder types.NamespacedName) (stream.View, bool) {
	if target, holds := s.targets[holder]; holds {
		return s.find(target).view, true
	}
	return stream.View{}, false
}

// Ensure is Ensure of a stream.Set.
func (s *simStreams) Ensure(holder types.NamespacedName, target stream.Target) {
	if s.closed {
		return
	}
	if held, holds := s.targets[holder]; holds && held != target {
		s.Release(holder)
	}
	d, st := s.settingsOf(target.Deployment), s.find(target)
	if st == nil || st.state == stream.Closed {
		st = s.replace(d, target, st)
	}
	if _, holds := s.targets[holder]; !holds {
		s.targets[holder] = target
		st.holders = append(st.holders, holder)
	}
}

// replace creates a stream, possibly in the place of one that the server has closed.
func (s *simStreams) replace(d *simVerified, target stream.Target, ended *simStream) *simStream {
	st := &simStream{set: s, target: target, state: stream.Idle, view: stream.View{State: stream.Idle}, client: d.client}
	var delay time.Duration
	if ended != nil {
		st.holders, st.view, delay = ended.holders, ended.view, simLongestBackoff
		st.notification = ended.notification
		s.drop(ended)
	}
	st.notified = simNotified{stream.Connecting, st.view.Workspace}
	s.streams = append(s.streams, st)
	switch {
	case d.client == nil:
	case delay > 0:
		st.fingerprint = d.fingerprint
		st.await(st.vary(delay))
		st.show()
	default:
		st.settle(d.fingerprint)
	}
	return st
}

func (s *simStreams) drop(gone *simStream) {
	s.streams = slices.DeleteFunc(slices.Clone(s.streams), func(st *simStream) bool { return st == gone })
}

// Release is Release of a stream.Set.
func (s *simStreams) Release(holder types.NamespacedName) {
	target, holds := s.targets[holder]
	if !holds {
		return
	}
	delete(s.targets, holder)
	st := s.find(target)
	st.holders = slices.DeleteFunc(slices.Clone(st.holders), func(h types.NamespacedName) bool { return h == holder })
	if len(st.holders) == 0 {
		st.cancel()
		st.state = stream.Closed
		s.drop(st)
	}
}

// Settled is Settled of a stream.Set.
func (s *simStreams) Settled(key types.NamespacedName, fingerprint string, client *coder.Client) {
	if s.closed {
		return
	}
	d := s.settingsOf(key)
	d.client, d.fingerprint = client, fingerprint
	for _, st := range s.of(key) {
		st.client = client
		st.settle(fingerprint)
	}
}

// Suspend is Suspend of a stream.Set.
func (s *simStreams) Suspend(key types.NamespacedName) {
	if d := s.deployments[key]; d != nil {
		d.client = nil
		for _, st := range s.of(key) {
			st.suspend()
		}
	}
}

// Revive is Revive of a stream.Set.
func (s *simStreams) Revive(holder types.NamespacedName) {
	target, holds := s.targets[holder]
	if !holds || s.deployments[target.Deployment].client == nil {
		return
	}
	if st := s.find(target); st.state == stream.Stopped {
		st.startOver()
	}
}

// Forget is Forget of a stream.Set.
func (s *simStreams) Forget(key types.NamespacedName) {
	for _, st := range s.of(key) {
		for _, holder := range st.holders {
			s.Release(holder)
		}
	}
	delete(s.deployments, key)
}

// Close is Close of a stream.Set.
func (s *simStreams) Close() {
	s.closed = true
	for _, st := range slices.Clone(s.streams) {
		for _, holder := range st.holders {
			s.Release(holder)
		}
	}
	clear(s.deployments)
}

// connected lists the streams that are connected to the server at a URL, or are about to be.
func (s *simStreams) connected(origin string) (found []*simStream) {
	for _, st := range s.streams {
		if st.link != nil && st.link.origin == origin {
			found = append(found, st)
		}
	}
	return found
}

// publish sends the state of a workspace to all who are connected to the server at a URL.
func (s *simStreams) publish(origin string, workspace coder.Workspace) {
	for _, st := range s.connected(origin) {
		if st.target.WorkspaceID == workspace.ID {
			st.receive(workspace)
		}
	}
}

// Ends of a connection: codes of close frames, or none.
const (
	endCut      = 0
	endNormal   = 1000
	endRejected = 1003
)

// end ends all connections to the server at a URL, and returns how many there were.
func (s *simStreams) end(origin string, code int) int {
	open := s.connected(origin)
	for _, st := range open {
		link := st.link
		st.schedule(link, func() { st.lose(code) })
		link.ended = true
	}
	return len(open)
}

// handshake opens a connection and returns the server's URL. The answer to an upgrade is read no
// further: what a server sends is simulated.
func handshake(client *coder.Client, workspaceID string, protocol coder.WatchProtocol) (origin string, err error) {
	opening, err := client.Watch(context.Background(), workspaceID, protocol)
	if err != nil {
		return "", err
	}
	return open(opening)
}

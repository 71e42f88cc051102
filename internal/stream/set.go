// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// Options are what all streams share.
type Options struct {
	// Clock measures backoffs and silence.
	Clock clock.WithDelayedExecution
	// Jitter returns a number in [0, 1), as rand.Float64 does. It is called concurrently.
	Jitter func() float64
	// Notify is called with each hint, without a lock held: it may call every method of the Set but Close. It should be short,
	// such as adding the holders to a queue. A call that has begun may outlast Close.
	Notify func(Notification)
	// Observe is called for each occurrence, concurrently; nil means not at all.
	Observe func(ConnectionEvent)
}

// Set holds streams for their holders, one stream for each target, however many hold it. It is safe for concurrent use. All
// methods but Close return at once; they can be called again and again with what should be.
type Set struct {
	clock   clock.WithDelayedExecution
	jitter  func() float64
	notify  func(Notification)
	observe func(ConnectionEvent)
	base    context.Context
	open    func(context.Context, line) (wire, error)
	running sync.WaitGroup // the links

	mu          sync.Mutex
	closed      bool
	deployments map[types.NamespacedName]*deployment
	targets     map[types.NamespacedName]Target // by holder
}

// deployment is what the streams of one deployment share.
type deployment struct {
	// client of the settings that settled last; nil: none have, or they are suspended.
	client      *coder.Client
	fingerprint string
	streams     map[string]*stream // by workspace id
}

// NewSet returns a Set without streams. It closes when ctx ends; who needs to wait for that calls Close.
func NewSet(ctx context.Context, o Options) *Set {
	s := &Set{
		clock: o.Clock, jitter: o.Jitter, notify: o.Notify, observe: o.Observe, open: openWire,
		// Close alone ends streams: an end that they do not know of would be taken for the server's.
		base:        context.WithoutCancel(ctx),
		deployments: map[types.NamespacedName]*deployment{}, targets: map[types.NamespacedName]Target{},
	}
	context.AfterFunc(ctx, s.Close)
	return s
}

// Ensure makes holder hold the stream of target, and no other. It is opened if nobody has held it, as soon as the
// deployment's settings have settled. One that the server has closed is opened again, but not at once. A parked one stays
// parked.
func (s *Set) Ensure(holder types.NamespacedName, target Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if held, ok := s.targets[holder]; ok && held != target {
		s.release(holder)
	}
	d := s.deployment(target.Deployment)
	st := d.streams[target.WorkspaceID]
	if st == nil || st.over() {
		st = s.replace(d, target, st)
	}
	if _, holds := s.targets[holder]; !holds {
		s.targets[holder] = target
		st.holders = append(st.holders, holder)
	}
}

// replace makes a new stream, in the place of one that has ended, if there is one. The lock is held.
func (s *Set) replace(d *deployment, target Target, ended *stream) *stream {
	st := &stream{set: s, target: target, machine: machine{state: Idle}, view: View{State: Idle}}
	e := event{kind: settled, fingerprint: d.fingerprint}
	if ended != nil {
		ended.mu.Lock()
		st.holders, st.view = ended.holders, ended.view
		ended.mu.Unlock()
		// The server may close the next one as soon as this one: it is asked again no sooner than one that cannot be reached.
		e.after = maxBackoff
	}
	st.told = told{standing: Connecting, workspace: st.view.Workspace}
	d.streams[target.WorkspaceID] = st
	st.mu.Lock()
	defer st.mu.Unlock()
	st.client = d.client
	if d.client != nil {
		st.step(e, nil)
	}
	return st
}

// Release ends what holder holds. A stream that nobody holds any more is closed in good order.
func (s *Set) Release(holder types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(holder)
}

// release is Release with the lock held. Nobody is left to be told.
func (s *Set) release(holder types.NamespacedName) {
	target, ok := s.targets[holder]
	if !ok {
		return
	}
	delete(s.targets, holder)
	d := s.deployments[target.Deployment]
	st := d.streams[target.WorkspaceID]
	st.holders = slices.DeleteFunc(slices.Clone(st.holders), func(h types.NamespacedName) bool { return h == holder })
	if len(st.holders) > 0 {
		return
	}
	delete(d.streams, target.WorkspaceID)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.step(event{kind: released}, nil)
}

// deployment returns the deployment of a key; there is one from the first asking on. The lock is held.
func (s *Set) deployment(key types.NamespacedName) *deployment {
	d := s.deployments[key]
	if d == nil {
		d = &deployment{streams: map[string]*stream{}}
		s.deployments[key] = d
	}
	return d
}

// Settled says that a deployment's settings have settled, and which client was built from them. Streams that were opened
// with others are opened anew, once (B82); with the same fingerprint everything stays, and the client is for later dials.
// After Suspend the parked ones are opened, whatever the fingerprint (B85).
func (s *Set) Settled(key types.NamespacedName, fingerprint string, client *coder.Client) {
	tell(s.settle(key, fingerprint, client))
}

func (s *Set) settle(key types.NamespacedName, fingerprint string, client *coder.Client) []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	d := s.deployment(key)
	d.fingerprint, d.client = fingerprint, client
	return d.each(func(st *stream) {
		st.client = client
		st.step(event{kind: settled, fingerprint: fingerprint}, nil)
	})
}

// Suspend closes a deployment's streams in good order and keeps new ones from opening, until Settled.
func (s *Set) Suspend(key types.NamespacedName) { tell(s.suspend(key)) }

func (s *Set) suspend(key types.NamespacedName) []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deployments[key]
	if d == nil {
		return nil
	}
	d.client = nil
	return d.each(func(st *stream) { st.step(event{kind: suspended}, ErrSuspended) })
}

// Revive opens the holder's stream if it is parked and its deployment is not suspended, for somebody who has seen that the
// same settings work again. Otherwise it does nothing.
func (s *Set) Revive(holder types.NamespacedName) { tell(s.revive(holder)) }

func (s *Set) revive(holder types.NamespacedName) []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.held(holder)
	if !ok || s.deployments[st.target.Deployment].client == nil {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.step(event{kind: revived}, nil)
	return []*stream{st}
}

// each does something to all streams, under the Set's lock and their own, and returns them.
func (d *deployment) each(do func(*stream)) []*stream {
	all := make([]*stream, 0, len(d.streams))
	for _, st := range d.streams {
		st.mu.Lock()
		do(st)
		st.mu.Unlock()
		all = append(all, st)
	}
	return all
}

// tell tells the holders of streams, without a lock held.
func tell(streams []*stream) {
	for _, st := range streams {
		st.tell()
	}
}

// Forget closes the streams of a deployment that is gone, takes them from their holders, and drops its settings.
func (s *Set) Forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deployments[key]
	if d == nil {
		return
	}
	for _, st := range d.streams {
		for _, holder := range st.holders {
			s.release(holder)
		}
	}
	delete(s.deployments, key)
}

// Look returns what the holder's stream knows, and whether it holds one.
func (s *Set) Look(holder types.NamespacedName) (View, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.held(holder)
	if !ok {
		return View{}, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.view, true
}

// held returns the stream that a holder holds. The lock is held.
func (s *Set) held(holder types.NamespacedName) (*stream, bool) {
	target, ok := s.targets[holder]
	if !ok {
		return nil, false
	}
	return s.deployments[target.Deployment].streams[target.WorkspaceID], true
}

// States counts the streams by their state.
func (s *Set) States() map[State]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[State]int{}
	for _, d := range s.deployments {
		for _, st := range d.streams {
			st.mu.Lock()
			counts[st.machine.state]++
			st.mu.Unlock()
		}
	}
	return counts
}

// Close closes all streams in good order and returns when no goroutine of theirs is left, about a second later at worst. It
// may be called more than once. From then on every method does nothing.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	for holder := range s.targets {
		s.release(holder)
	}
	clear(s.deployments)
	s.mu.Unlock()
	s.running.Wait()
}

// hint tells the holders of a stream, if there are any.
func (s *Set) hint(st *stream, view View) {
	s.mu.Lock()
	hint := Notification{Target: st.target, Holders: slices.Clone(st.holders), View: view}
	s.mu.Unlock()
	if len(hint.Holders) > 0 {
		s.notify(hint)
	}
}

// over reports whether the stream has ended.
func (st *stream) over() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.machine.state == Closed
}

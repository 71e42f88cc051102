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

// Options are shared by all streams.
type Options struct {
	// Clock measures backoffs and the time without messages.
	Clock clock.WithDelayedExecution
	// Jitter returns a number in [0, 1), as rand.Float64 does. It is called concurrently.
	Jitter func() float64
	// Notify is called with each notification. No lock is held: it may call every method of the Set
	// but Close. It should be short, such as adding the holders to a queue. A call that has started
	// may end after Close returns.
	Notify func(Notification)
	// Observe is called for each connection event, concurrently. It may be nil.
	Observe func(ConnectionEvent)
}

// Set holds streams for their holders: one stream per target, however many holders it has. It is
// safe for concurrent use. All methods but Close return immediately and are idempotent.
type Set struct {
	clock   clock.WithDelayedExecution
	jitter  func() float64
	notify  func(Notification)
	observe func(ConnectionEvent)
	base    context.Context
	open    func(context.Context, dialOptions) (wire, error)
	running sync.WaitGroup // the links

	mu          sync.Mutex
	closed      bool
	deployments map[types.NamespacedName]*deployment
	targets     map[types.NamespacedName]Target // by holder
}

// deployment is shared by the streams of one deployment.
type deployment struct {
	// client of the latest settings. Nil: there are none yet, or the deployment is suspended.
	client      *coder.Client
	fingerprint string
	streams     map[string]*stream // by workspace id
}

// NewSet returns a Set without streams. It closes when ctx ends; call Close to wait for that.
func NewSet(ctx context.Context, o Options) *Set {
	s := &Set{
		clock: o.Clock, jitter: o.Jitter, notify: o.Notify, observe: o.Observe, open: openWire,
		// Only Close ends streams. If ctx did, they would take the end for one that the server caused.
		base:        context.WithoutCancel(ctx),
		deployments: map[types.NamespacedName]*deployment{}, targets: map[types.NamespacedName]Target{},
	}
	context.AfterFunc(ctx, s.Close)
	return s
}

// Ensure makes holder hold the stream of target, and no other. A new stream is opened as soon as
// the deployment's settings are available. A stream that the server has closed is opened again
// after a delay. A stopped one stays stopped.
func (s *Set) Ensure(holder types.NamespacedName, target Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if held, ok := s.targets[holder]; ok && held != target {
		s.releaseHolder(holder)
	}
	d := s.deploymentFor(target.Deployment)
	st := d.streams[target.WorkspaceID]
	if st == nil || st.isClosed() {
		st = s.replaceStream(d, target, st)
	}
	if _, holds := s.targets[holder]; !holds {
		s.targets[holder] = target
		st.holders = append(st.holders, holder)
	}
}

// replaceStream creates a stream, which may replace one that has ended. The lock must be held.
func (s *Set) replaceStream(d *deployment, target Target, ended *stream) *stream {
	st := &stream{set: s, target: target, machine: machine{state: Idle}, view: View{State: Idle}}
	e := event{kind: settled, fingerprint: d.fingerprint}
	if ended != nil {
		ended.mu.Lock()
		st.holders, st.view = ended.holders, ended.view
		ended.mu.Unlock()
		// The server may close the new stream immediately, too. Wait as long as for a server that cannot
		// be reached.
		e.after = maxBackoff
	}
	st.notified = notifiedView{state: Connecting, workspace: st.view.Workspace}
	d.streams[target.WorkspaceID] = st
	st.mu.Lock()
	defer st.mu.Unlock()
	st.client = d.client
	if d.client != nil {
		st.stepMachine(e, nil)
	}
	return st
}

// Release removes holder from its stream. A stream without holders is closed normally.
func (s *Set) Release(holder types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseHolder(holder)
}

// releaseHolder is Release with the lock held. It notifies no holder, because none is left.
func (s *Set) releaseHolder(holder types.NamespacedName) {
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
	st.stepMachine(event{kind: released}, nil)
}

// deploymentFor returns the deployment of a key. The first call creates it. The lock must be held.
func (s *Set) deploymentFor(key types.NamespacedName) *deployment {
	d := s.deployments[key]
	if d == nil {
		d = &deployment{streams: map[string]*stream{}}
		s.deployments[key] = d
	}
	return d
}

// Settled reports that a deployment's settings have stopped changing, and the client that was built
// from them. Streams that were opened with other settings are opened again, once (B82). With the
// same fingerprint they stay open, and the client is used for later dials. After Suspend, stopped
// streams are opened whatever the fingerprint (B85).
func (s *Set) Settled(key types.NamespacedName, fingerprint string, client *coder.Client) {
	deliverAll(s.settleStreams(key, fingerprint, client))
}

func (s *Set) settleStreams(key types.NamespacedName, fingerprint string, client *coder.Client) []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	d := s.deploymentFor(key)
	d.fingerprint, d.client = fingerprint, client
	return d.applyToEach(func(st *stream) {
		st.client = client
		st.stepMachine(event{kind: settled, fingerprint: fingerprint}, nil)
	})
}

// Suspend closes a deployment's streams normally and opens none until Settled is called.
func (s *Set) Suspend(key types.NamespacedName) { deliverAll(s.suspendStreams(key)) }

func (s *Set) suspendStreams(key types.NamespacedName) []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deployments[key]
	if d == nil {
		return nil
	}
	d.client = nil
	return d.applyToEach(func(st *stream) { st.stepMachine(event{kind: suspended}, ErrSuspended) })
}

// Revive opens the holder's stream if it is stopped and its deployment is not suspended. It is
// called when the same settings are known to work again. Otherwise it does nothing.
func (s *Set) Revive(holder types.NamespacedName) { deliverAll(s.reviveStream(holder)) }

func (s *Set) reviveStream(holder types.NamespacedName) []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.streamOf(holder)
	if !ok || s.deployments[st.target.Deployment].client == nil {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.stepMachine(event{kind: revived}, nil)
	return []*stream{st}
}

// applyToEach calls do for all streams, with the Set's lock and the stream's held, and returns
// them.
func (d *deployment) applyToEach(do func(*stream)) []*stream {
	all := make([]*stream, 0, len(d.streams))
	for _, st := range d.streams {
		st.mu.Lock()
		do(st)
		st.mu.Unlock()
		all = append(all, st)
	}
	return all
}

// deliverAll notifies the holders of streams. No lock may be held.
func deliverAll(streams []*stream) {
	for _, st := range streams {
		st.deliverNotifications()
	}
}

// Forget closes the streams of a deployment that was deleted, removes their holders, and drops its
// settings.
func (s *Set) Forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deployments[key]
	if d == nil {
		return
	}
	for _, st := range d.streams {
		for _, holder := range st.holders {
			s.releaseHolder(holder)
		}
	}
	delete(s.deployments, key)
}

// Look returns the view of the holder's stream, and false if it holds none.
func (s *Set) Look(holder types.NamespacedName) (View, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.streamOf(holder)
	if !ok {
		return View{}, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.view, true
}

// streamOf returns the stream that a holder holds. The lock must be held.
func (s *Set) streamOf(holder types.NamespacedName) (*stream, bool) {
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

// Close closes all streams normally and returns when all their goroutines have ended, after about a
// second at most. It may be called more than once. Afterwards every method does nothing.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	for holder := range s.targets {
		s.releaseHolder(holder)
	}
	clear(s.deployments)
	s.mu.Unlock()
	s.running.Wait()
}

// notifyHolders notifies the holders of a stream, if there are any.
func (s *Set) notifyHolders(st *stream, view View) {
	s.mu.Lock()
	notification := Notification{Target: st.target, Holders: slices.Clone(st.holders), View: view}
	s.mu.Unlock()
	if len(notification.Holders) > 0 {
		s.notify(notification)
	}
}

// isClosed reports whether the stream has ended.
func (st *stream) isClosed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.machine.state == Closed
}

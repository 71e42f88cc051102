// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

const (
	// SlowAfter is how long a pass waits for a server before it is set aside, and before the server is
	// known as slow.
	SlowAfter = time.Second
	// silenceLife is how long a server is known as slow because of an operation that is not repeated.
	silenceLife = 10 * time.Minute
)

// Servers knows which deployments' servers are slow: those that a call waits for longer than SlowAfter
// right now, and those that gave no answer to an operation the last time, after at least as long. An
// answer to that operation ends it, whatever it says, so that a server which answers some operations and
// hangs at others stays known.
//
// It is shared by the queues of all controllers and safe for concurrent use. Create it with [NewServers].
type Servers struct {
	clock clock.WithDelayedExecution
	// changed is called when a server becomes slow, and when it is no longer. It must not call the
	// Servers.
	changed func(deployment types.NamespacedName, slow bool)

	mu    sync.Mutex
	known map[types.NamespacedName]*server // servers that are slow
}

// server is a slow server.
type server struct {
	hanging int                  // calls that have lasted for SlowAfter and are not over
	silent  map[string]time.Time // when an operation was last not answered
}

// NewServers returns Servers of which none is slow.
func NewServers(c clock.WithDelayedExecution, changed func(types.NamespacedName, bool)) *Servers {
	return &Servers{clock: c, changed: changed, known: map[types.NamespacedName]*server{}}
}

// Slow reports whether the server of a deployment is slow.
func (s *Servers) Slow(deployment types.NamespacedName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[deployment] != nil
}

// expire forgets operations that were not repeated for a long time.
func (s *Servers) expire(deployment types.NamespacedName, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.known[deployment]; v != nil {
		maps.DeleteFunc(v.silent, func(_ string, at time.Time) bool { return now.Sub(at) >= silenceLife })
		s.tidy(deployment, v)
	}
}

// ErrNoPlace is returned for a call of a slow server while too many others wait for slow servers.
var ErrNoPlace = errors.New("the server did not answer lately, and too many wait for servers that do not answer")

// Begin is called before a call of a server, with the context of the pass that makes it. The caller must
// call end after it. The pass is set aside at once if the server is slow, and otherwise when the call has
// lasted for SlowAfter. An error means that the call must not be made now.
func (s *Servers) Begin(ctx context.Context, deployment types.NamespacedName) (end func(), err error) {
	s.expire(deployment, s.clock.Now())
	lease, _ := ctx.Value(leaseKey{}).(*Lease)
	if lease != nil && s.Slow(deployment) && !lease.setAside(lease.queue.workers) {
		return nil, ErrNoPlace
	}
	c := &call{servers: s, deployment: deployment, lease: lease}
	// The function runs on a goroutine of its own, because fake clocks call it with their own lock held.
	timer := s.clock.AfterFunc(SlowAfter, func() { go c.markHanging() })
	return func() {
		timer.Stop()
		c.finish()
	}, nil
}

// call is one call of a server.
type call struct {
	servers    *Servers
	deployment types.NamespacedName
	lease      *Lease // nil: not made by a pass

	// hangs and over are guarded by the lock of servers. hangs is nil until the call has lasted for
	// SlowAfter.
	hangs *server
	over  bool
}

func (c *call) markHanging() {
	s := c.servers
	s.mu.Lock()
	if c.over {
		s.mu.Unlock()
		return
	}
	c.hangs = s.slow(c.deployment)
	c.hangs.hanging++
	s.mu.Unlock()
	if c.lease != nil {
		c.lease.setAsideOrCut()
	}
}

func (c *call) finish() {
	s := c.servers
	s.mu.Lock()
	defer s.mu.Unlock()
	c.over = true
	if c.hangs != nil {
		c.hangs.hanging--
		s.tidy(c.deployment, c.hangs)
	}
}

// Observe records how an operation ended: whether the server has answered, and how long that took.
func (s *Servers) Observe(deployment types.NamespacedName, operation string, answered bool, took time.Duration) {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !answered {
		if took >= SlowAfter {
			s.slow(deployment).silent[operation] = now
		}
		return
	}
	if v := s.known[deployment]; v != nil {
		delete(v.silent, operation)
		s.tidy(deployment, v)
	}
}

// Forget drops what is known of the server of a deployment that was deleted or whose settings have
// changed.
func (s *Servers) Forget(deployment types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[deployment] != nil {
		delete(s.known, deployment)
		s.changed(deployment, false)
	}
}

// slow returns what is known of a slow server. The lock must be held.
func (s *Servers) slow(deployment types.NamespacedName) *server {
	v := s.known[deployment]
	if v == nil {
		v = &server{silent: map[string]time.Time{}}
		s.known[deployment] = v
		s.changed(deployment, true)
	}
	return v
}

// tidy drops a server that is no longer slow. The lock must be held.
func (s *Servers) tidy(deployment types.NamespacedName, v *server) {
	if v.hanging == 0 && len(v.silent) == 0 && s.known[deployment] == v {
		delete(s.known, deployment)
		s.changed(deployment, false)
	}
}

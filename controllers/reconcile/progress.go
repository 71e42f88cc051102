// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// StalledAfter is how long a controller may make no progress while work waits.
const StalledAfter = 5 * time.Minute

// Progress notices that a controller makes no progress: work waits, and no pass has ended for
// StalledAfter, which is twice as long as a pass can take. It is safe for concurrent use. Create it with
// [NewProgress].
type Progress struct {
	clock clock.PassiveClock
	// waiting returns how many objects wait for a pass.
	waiting func() int

	mu sync.Mutex
	// last is when a pass last ended, or nothing waited.
	last time.Time
}

// NewProgress returns the progress of a controller; waiting returns how many objects wait for a pass.
func NewProgress(c clock.PassiveClock, waiting func() int) *Progress {
	return &Progress{clock: c, waiting: waiting, last: c.Now()}
}

// Record is called when a pass ends.
func (p *Progress) Record() {
	now := p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = now
}

// LastTime is when a pass last ended, or nothing waited. It is now for a controller that is not started.
func (p *Progress) LastTime(started bool) time.Time {
	if !started || p.waiting() == 0 {
		p.Record()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Check returns an error if the controller has stalled. A controller that is not started, because
// another replica leads, has not.
func (p *Progress) Check(started bool) error {
	count := p.waiting()
	if !started || count == 0 {
		p.Record()
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if idle := p.clock.Since(p.last); idle >= StalledAfter {
		return fmt.Errorf("no progress for %s, and %d objects wait", idle.Round(time.Second), count)
	}
	return nil
}

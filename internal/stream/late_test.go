// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// lateWire is a connection that is opened although the dial was given up, and that sends until it
// is closed.
type lateWire struct {
	polite, closed chan struct{}
	once           sync.Once
	over           atomic.Bool // read has returned
}

func (w *lateWire) read(handle func(coder.Event)) error {
	handle(coder.Event{Type: framePing})
	<-w.closed
	<-time.After(20 * time.Millisecond) // long enough for a Close that does not wait to return
	w.over.Store(true)
	return io.EOF
}

func (w *lateWire) closeGracefully() {
	close(w.polite)
	w.closeNow()
}

func (w *lateWire) closeNow() { w.once.Do(func() { close(w.closed) }) }

func TestTheLateConnectionIsClosed(t *testing.T) { // B84
	t.Parallel()
	holder := types.NamespacedName{Name: "ci"}
	target := Target{WorkspaceID: "dev"}
	for name, giveUp := range map[string]func(*Set){
		"suspended": func(s *Set) { s.Suspend(target.Deployment) },
		"released":  func(s *Set) { s.Release(holder) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := NewSet(t.Context(), Options{
				Clock: clock.RealClock{}, Jitter: func() float64 { return 0 }, Notify: func(h Notification) {
					if h.View.State == Connected {
						t.Error("the late connection counts as open")
					}
				},
			})
			late := &lateWire{polite: make(chan struct{}), closed: make(chan struct{})}
			dialling, given := make(chan struct{}), make(chan struct{})
			set.open = func(context.Context, dialOptions) (wire, error) {
				close(dialling)
				<-given // ignores its context
				return late, nil
			}
			set.Settled(target.Deployment, "a", &coder.Client{})
			set.Ensure(holder, target)
			<-dialling
			giveUp(set)
			close(given)
			select {
			case <-late.polite:
			case <-time.After(30 * time.Second):
				t.Fatal("the late connection was not closed in good order")
			}
			set.Close()
			if !late.over.Load() {
				t.Error("Close did not wait for the late connection")
			}
		})
	}
}

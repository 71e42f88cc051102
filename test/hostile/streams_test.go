// SPDX-License-Identifier: Apache-2.0

package hostile_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/hostile"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// streams is how many workspaces are watched at a time.
const streams = 50

// perStream is how many goroutines a stream may have on both sides together: of the connection's client,
// of net/http and of the server.
const perStream = 8

// B130, B93: fifty streams of a server that sends without end, or next to nothing, take no more memory
// than there is, and no more than a connection each.
func TestStreamsTakeNoMoreMemoryThanThereIs(t *testing.T) { //nolint:tparallel // memory is that of the process
	chunk := strings.Repeat("x", 1<<16)
	workspace := `{"type":"data","data":{"id":"w0","name":"` + chunk + `"}}`
	for name, tt := range map[string]struct {
		path   string
		server hostile.Behaviour
		// lost: the streams have to end, because of what they are sent.
		lost bool
	}{
		"endless events":   {"/watch", hostile.Events("data: " + chunk), true},
		"huge frames":      {"/watch-ws", hostile.HugeFrame("[[[[" + chunk), true},
		"one huge string":  {"/watch-ws", hostile.HugeFrame(chunk), true},
		"endless messages": {"/watch-ws", hostile.EndlessMessage(chunk), true},
		"many messages":    {"/watch-ws", hostile.Messages(workspace), false},
		"a slow drip":      {"/watch-ws", hostile.DrippingFrame(`{"type":"da`), false},
	} {
		t.Run(name, func(t *testing.T) {
			open := newConnections(tt.server)
			w := watchHostile(t, hostile.ByPath(hostile.Answer(http.StatusNotFound, `{"message":"Route not found."}`),
				map[string]hostile.Behaviour{tt.path: open.serve}))
			defer w.close()
			err := wait.Until(t.Context(), time.Minute, 0, func(context.Context) error {
				if got := w.countLost(); tt.lost && got < streams {
					return fmt.Errorf("%d streams ended", got)
				}
				if got := open.count(); got < streams {
					return fmt.Errorf("%d connections were opened", got)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if most := w.stop(); most > limit {
				t.Errorf("%d MiB at the peak", most>>20)
			} else {
				t.Logf("%d MiB at the peak", most>>20)
			}
			if most := open.most(); most > 2 { // the server may not have noticed the end of the one before
				t.Errorf("%d connections for one workspace at a time", most)
			}
			if n := runtime.NumGoroutine(); n > perStream*streams {
				t.Errorf("%d goroutines", n)
			}
		})
	}
}

// watched are the streams of a server.
type watched struct {
	stop  func() uint64 // returns the peak of memory
	close func()

	mu   sync.Mutex
	lost map[string]bool // by workspace
}

// watchHostile watches many workspaces of a server until close is called.
func watchHostile(t *testing.T, server hostile.Behaviour) *watched {
	t.Helper()
	w := &watched{stop: peak(t), lost: map[string]bool{}}
	set := stream.NewSet(t.Context(), stream.Options{
		Clock: clock.RealClock{}, Jitter: func() float64 { return 0.5 }, Notify: func(stream.Notification) {},
		Observe: func(e stream.ConnectionEvent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if e.Kind == stream.Lost {
				w.lost[e.Target.WorkspaceID] = true
			}
		},
	})
	w.close = set.Close
	deployment := types.NamespacedName{Namespace: "evil", Name: "prod"}
	set.Settled(deployment, "settings", clientOf(t, hostile.Start(t, server)))
	for i := range streams {
		id := fmt.Sprintf("w%d", i)
		set.Ensure(types.NamespacedName{Namespace: "evil", Name: id},
			stream.Target{Deployment: deployment, WorkspaceID: id})
	}
	return w
}

// countLost returns how many streams have ended at least once.
func (w *watched) countLost() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lost)
}

// connections counts those that a server has open, by path.
type connections struct {
	behaviour hostile.Behaviour

	mu      sync.Mutex
	now     map[string]int
	highest int
}

func newConnections(b hostile.Behaviour) *connections {
	return &connections{behaviour: b, now: map[string]int{}}
}

func (c *connections) serve(w http.ResponseWriter, r *http.Request) {
	c.add(r.URL.Path, 1)
	defer c.add(r.URL.Path, -1)
	c.behaviour(w, r)
}

func (c *connections) add(path string, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now[path] += more
	c.highest = max(c.highest, c.now[path])
}

// count returns for how many paths there ever was one.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.now)
}

// most returns how many there were at a time for one path.
func (c *connections) most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.highest
}

// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// soakTime is the duration of the soak test. The environment variable STREAM_SOAK sets another one,
// such as 10m.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("STREAM_SOAK")
	if text == "" {
		return 2 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("STREAM_SOAK: %v", err)
	}
	return d
}

// After any sequence of faults, once the server works and settings are stable, every stream has the
// correct state, over one connection each. The clock of the streams runs about a hundred times as
// fast as that of the server, so that backoffs and silence are tested.
func TestSoak(t *testing.T) {
	t.Parallel()
	const streams, troubles = 16, 6
	w := newStreamEnv(t, coderd.Options{StreamHeartbeat: 5 * time.Millisecond, DisableRateLimits: true})
	s := soak{streamEnv: w, random: rand.New(rand.NewPCG(1, 2))}
	for i := range streams {
		s.holders = append(s.holders, types.NamespacedName{Name: fmt.Sprint("session-", i)})
		s.targets = append(s.targets, w.createWorkspace(fmt.Sprint("dev-", i)))
	}
	stop := w.hurryClock()
	defer stop()
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	rounds := 0
	for begin, span := time.Now(), soakTime(t); time.Since(begin) < span; rounds++ {
		s.healAndWait(fmt.Sprint("settings-", rounds))
		for range troubles {
			s.causeTrouble()
			<-pause.C
		}
	}
	s.healAndWait("the last")
	t.Logf("%d rounds: %d opened, %d lost, %d refused, %d server errors, %d invalid events", rounds,
		w.countEvents(stream.Opened),
		w.countEvents(stream.Lost), w.countEvents(stream.Refused), w.countEvents(stream.ServerError),
		w.countEvents(stream.InvalidEvent))
}

// soak is a world with many holders, each with a workspace.
type soak struct {
	*streamEnv
	random  *rand.Rand
	holders []types.NamespacedName
	targets []stream.Target
}

// causeTrouble causes one random fault or change.
func (s *soak) causeTrouble() {
	i := s.random.IntN(len(s.holders))
	switch s.random.IntN(12) {
	case 0:
		s.server.CutStreams()
	case 1:
		s.server.SlowStreams(time.Duration(s.random.IntN(3)) * 20 * time.Millisecond)
	case 2:
		s.server.SendGarbage([]byte(strings.Repeat("{", s.random.IntN(100))))
	case 3:
		s.server.SendStreamError("trouble")
	case 4:
		s.ln.Stop()
		s.requireNoError(s.ln.Restart())
	case 5:
		s.server.CloseStreams([]int{1000, 1001, 1002, 1003, 1011, 1012}[s.random.IntN(6)])
	case 6:
		old := s.random.IntN(3) == 0
		s.server.Reconfigure(func(o *coderd.Options) { o.EventStreamsOnly = old })
	case 7:
		s.settleSettings("other settings")
	case 8:
		s.Suspend(prod)
	case 9:
		s.Release(s.holders[i])
	case 10:
		s.disturbHandshakes(s.random)
	default:
		status := []coderd.WorkspaceStatus{coderd.WorkspaceRunning, coderd.WorkspaceStopped,
			coderd.WorkspaceFailed}[s.random.IntN(3)]
		s.requireNoError(s.server.SetWorkspaceStatus(s.targets[i].WorkspaceID, status))
	}
}

// healAndWait makes the server work and waits until all streams have the correct state.
func (s *soak) healAndWait(fingerprint string) {
	s.t.Helper()
	s.server.ClearFaults()
	s.server.SlowStreams(0)
	s.settleSettings(fingerprint)
	truth := map[string]coder.WorkspaceStatus{}
	for _, ws := range s.server.Workspaces() {
		truth[ws.ID] = coder.WorkspaceStatus(ws.Status)
	}
	telling := func() int {
		n := 0
		for i, holder := range s.holders {
			s.Ensure(holder, s.targets[i]) // as holders do when a stream has ended
			view, _ := s.Look(holder)
			if view.State == stream.Connected && view.Workspace.Status == truth[s.targets[i].WorkspaceID] {
				n++
			}
		}
		return n
	}
	s.eventually(func() string { return fmt.Sprint(telling(), " tell the truth; ", s.States(), s.server.OpenStreams()) },
		func() bool { return telling() == len(s.holders) && s.server.OpenStreams() == len(s.holders) })
}

// disturbHandshakes injects a fault into a few handshakes.
func (w *streamEnv) disturbHandshakes(r *rand.Rand) {
	faults := []coderd.Fault{
		{Kind: coderd.FaultDropBefore}, {Kind: coderd.FaultHTML}, {Kind: coderd.FaultUnauthorized},
		{Kind: coderd.FaultDropAnswer},
		{Kind: coderd.FaultStatus, Status: 404}, {Kind: coderd.FaultLatency, Latency: 10 * time.Millisecond},
	}
	f := faults[r.IntN(len(faults))]
	f.Path, f.Times = "/api/v2/workspaces/**", 1+r.IntN(5)
	w.server.Inject(f)
}

// hurryClock advances the clock of the streams, half a second every five milliseconds, until it is
// stopped.
func (w *streamEnv) hurryClock() (stop func()) {
	quit := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.clock.Step(500 * time.Millisecond)
			case <-quit:
				return
			}
		}
	})
	return func() {
		close(quit)
		running.Wait()
	}
}

// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

const (
	simulatedRate     = 300 // requests per minute
	simulatedBurst    = 50
	simulatedInterval = 200 * time.Millisecond
	// returnJitter is the most that a caller comes back too late.
	returnJitter = 10 * time.Millisecond
)

// simulatedCaller makes two requests, one after the other. If one is refused, it comes back exactly
// after RetryAfter, like a controller does.
type simulatedCaller struct {
	priority Priority
	// operation is set if both requests belong to one operation, which begins with its first request
	// whenever one is refused.
	operation bool
	// leavesWhenRefused is set if it does not come back.
	leavesWhenRefused bool
	arrives           time.Duration
}

// sentRequest is a request that was sent.
type sentRequest struct {
	at       time.Duration
	priority Priority
	started  bool
}

// simulation is what happened, in durations since the start.
type simulation struct {
	limit *limit
	start time.Time
	// pauseEnd is when the pause ends. It is zero if there is none.
	pauseEnd time.Duration

	mu      sync.Mutex
	sent    []sentRequest
	refused int
	broken  int           // operations that were refused after they had started
	longest time.Duration // RetryAfter, without what is left of a pause
	ended   []time.Duration
}

// mostWithRace is how many callers are simulated with the race detector. With hundreds of goroutines
// that synctest wakes at the same moment, the detector itself fails ("ThreadSanitizer: CHECK failed").
const mostWithRace = 50

// simulate runs all callers on the fake clock of synctest. during happens at the same time.
func simulate(t *testing.T, callers []simulatedCaller, during func(*simulation)) *simulation {
	t.Helper()
	if raceEnabled && len(callers) > mostWithRace {
		t.Skip("too many goroutines for the race detector")
	}
	s := &simulation{ended: make([]time.Duration, len(callers))}
	synctest.Test(t, func(t *testing.T) {
		s.limit, s.start = newLimit(clock.RealClock{}), time.Now()
		s.limit.setRate(simulatedRate)
		var running sync.WaitGroup
		for i, caller := range callers {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			running.Go(func() { s.ended[i] = s.run(t.Context(), caller, random) })
		}
		if during != nil {
			during(s)
		}
		running.Wait()
	})
	slices.SortFunc(s.sent, func(a, b sentRequest) int { return int(a.at - b.at) })
	return s
}

// run returns when the caller has ended.
func (s *simulation) run(ctx context.Context, caller simulatedCaller, random *rand.Rand) time.Duration {
	<-time.After(caller.arrives)
	ctx = WithPriority(ctx, caller.priority)
	attempt := ctx
	for done := 0; done < 2; {
		if caller.operation && done == 0 {
			attempt = WithLongRateLimitWait(ctx)
		}
		err := s.limit.Wait(attempt)
		var busy *RateLimitedError
		if errors.As(err, &busy) {
			s.noteRefusal(busy.RetryAfter)
			if caller.leavesWhenRefused {
				break
			}
			if caller.operation && done > 0 {
				s.noteBroken()
				done = 0
			}
			<-time.After(busy.RetryAfter + time.Duration(random.Int64N(int64(returnJitter))))
			continue
		}
		s.noteSent(sentRequest{priority: caller.priority, started: caller.operation && done > 0})
		done++
	}
	return time.Since(s.start)
}

func (s *simulation) noteRefusal(retryAfter time.Duration) {
	s.limit.mu.Lock()
	pause := max(0, s.limit.bucket.paused-s.limit.now())
	s.limit.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused++
	s.longest = max(s.longest, retryAfter-pause)
}

func (s *simulation) noteBroken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken++
}

func (s *simulation) noteSent(request sentRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	request.at = time.Since(s.start)
	s.sent = append(s.sent, request)
}

// longestUnused returns the longest time that a token was there, and not kept for requests of a
// higher priority, before a request used it, if callers of all priorities wait from then on. It
// counts tokens on its own.
func (s *simulation) longestUnused(from time.Duration) time.Duration {
	unused, empty := time.Duration(0), -simulatedBurst*simulatedInterval
	for _, request := range s.sent {
		kept := map[Priority]time.Duration{Routine: 20, First: 10, Urgent: 0}[request.priority]
		if s.pauseEnd > 0 && request.at >= s.pauseEnd {
			empty = max(empty, s.pauseEnd)
		}
		empty = max(empty, request.at-simulatedBurst*simulatedInterval) + simulatedInterval
		if !request.started {
			unused = max(unused, request.at-max(from, empty+kept*simulatedInterval))
		}
	}
	return unused
}

// countSent counts requests in the half-open window.
func (s *simulation) countSent(from, to time.Duration, priorities ...Priority) int {
	n := 0
	for _, request := range s.sent {
		if request.at >= from && request.at < to && slices.Contains(priorities, request.priority) {
			n++
		}
	}
	return n
}

// checkRate fails if more requests were sent than the bucket allows.
func (s *simulation) checkRate(t *testing.T) {
	t.Helper()
	for i, request := range s.sent {
		if earliest := time.Duration(i+1-simulatedBurst) * simulatedInterval; request.at < earliest {
			t.Fatalf("request %d was sent after %s, the rate allows it after %s", i+1, request.at, earliest)
		}
	}
}

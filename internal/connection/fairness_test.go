// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// repeatCaller returns n callers.
func repeatCaller(n int, caller simulatedCaller) []simulatedCaller {
	return slices.Repeat([]simulatedCaller{caller}, n)
}

// atTheRate returns how long n requests take that wait, and leave keptTokens of a burst unused.
func atTheRate(n, keptTokens int) time.Duration {
	return time.Duration(n-simulatedBurst+keptTokens) * simulatedInterval
}

// B52: callers that come back exactly when they were told use all tokens, with few refusals.
func TestCallersThatWaitAreServedAtTheRate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		callers    int
		priority   Priority
		kept       int
		perRequest float64 // refusals
	}{
		{20, Routine, 20, 0.5},
		{200, Routine, 20, 2},
		{200, First, 10, 2},
		{200, Urgent, 0, 2},
		{1000, Routine, 20, 3.5},
	} {
		for _, operation := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d of priority %d, operations %t", tc.callers, tc.priority, operation), func(t *testing.T) {
				t.Parallel()
				s := simulate(t, repeatCaller(tc.callers, simulatedCaller{priority: tc.priority, operation: operation}), nil)
				if len(s.sent) != 2*tc.callers || s.broken > 0 {
					t.Errorf("%d requests were sent, %d operations stopped halfway", len(s.sent), s.broken)
				}
				if unused := s.longestUnused(0); unused > 100*time.Millisecond {
					t.Errorf("a token was unused for %s", unused)
				}
				if perRequest := float64(s.refused) / float64(len(s.sent)); perRequest > tc.perRequest {
					t.Errorf("%.2f refusals of each request, want at most %.2f", perRequest, tc.perRequest)
				}
				if last, want := slices.Max(s.ended), atTheRate(2*tc.callers, tc.kept); last > want+200*time.Millisecond {
					t.Errorf("the last caller ended after %s, want %s", last, want)
				}
				if s.longest > maxRetryAfter {
					t.Errorf("a caller was told to wait %s", s.longest)
				}
				s.checkRate(t)
			})
		}
	}
}

// B52: callers of a higher priority that come later are served first.
func TestCallersOfAHigherPriorityOvertake(t *testing.T) {
	t.Parallel()
	const routine, others = 200, 30
	arrives := 5 * time.Second
	callers := slices.Concat(repeatCaller(routine, simulatedCaller{}),
		repeatCaller(others, simulatedCaller{priority: First, arrives: arrives}),
		repeatCaller(others, simulatedCaller{priority: Urgent, arrives: arrives}))
	s := simulate(t, callers, nil)
	urgentEnd, firstEnd := slices.Max(s.ended[routine+others:]), slices.Max(s.ended[routine:routine+others])
	// First requests have taken the ten tokens that were kept for them from routine ones.
	if want := arrives + (2*others-10)*simulatedInterval; urgentEnd > want+200*time.Millisecond {
		t.Errorf("urgent callers ended after %s, want %s", urgentEnd, want)
	}
	if want := arrives + 4*others*simulatedInterval; firstEnd > want+200*time.Millisecond {
		t.Errorf("first callers ended after %s, want %s", firstEnd, want)
	}
	if n := s.countSent(arrives+returnJitter, urgentEnd, Routine, First); n > 0 {
		t.Errorf("%d requests were sent before urgent ones", n)
	}
	if n := s.countSent(arrives+returnJitter, firstEnd, Routine); n > 0 {
		t.Errorf("%d routine requests were sent before first ones", n)
	}
	if len(s.sent) != 2*len(callers) || s.refused > 3*len(s.sent) {
		t.Errorf("%d requests were sent, %d refused", len(s.sent), s.refused)
	}
	s.checkRate(t)
}

// Callers that do not come back, because their session is gone, keep no token from others.
func TestCallersThatLeaveKeepNoTokens(t *testing.T) {
	t.Parallel()
	for _, n := range []int{200, 1000} {
		t.Run(fmt.Sprintf("half of %d", n), func(t *testing.T) {
			t.Parallel()
			callers := repeatCaller(n, simulatedCaller{})
			for i := range callers {
				callers[i].leavesWhenRefused, callers[i].arrives = i%2 == 0, time.Duration(i)*time.Microsecond
			}
			s := simulate(t, callers, nil)
			if unused := s.longestUnused(0); unused > time.Second {
				t.Errorf("a token was unused for %s", unused)
			}
			if last, want := slices.Max(s.ended), atTheRate(len(s.sent), 20); last > want+time.Second {
				t.Errorf("the last caller ended after %s, want %s", last, want)
			}
		})
		t.Run(fmt.Sprintf("all of %d", n), func(t *testing.T) {
			t.Parallel()
			later := simulatedCaller{arrives: 20 * time.Second}
			s := simulate(t, append(repeatCaller(n, simulatedCaller{leavesWhenRefused: true}),
				repeatCaller(50, later)...), nil)
			last, want := slices.Max(s.ended[n:]), later.arrives+atTheRate(100, 20)
			if last > want+200*time.Millisecond {
				t.Errorf("later callers ended after %s, want %s", last, want)
			}
		})
	}
}

// B52: during a pause no request is sent. After it, waiting callers are served at the rate, not all
// at once.
func TestCallersAreReleasedAtTheRateAfterAPause(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		callers   int
		priority  Priority
		kept      time.Duration
		operation bool
	}{{callers: 200, kept: 20}, {callers: 200, priority: Urgent}, {callers: 200, priority: Urgent, operation: true},
		{callers: 1000, kept: 20}} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			t.Parallel()
			from, pause := 5*time.Second+10*time.Millisecond, 30*time.Second
			callers := repeatCaller(tc.callers, simulatedCaller{priority: tc.priority, operation: tc.operation})
			s := simulate(t, callers, func(s *simulation) {
				s.pauseEnd = from + pause
				<-time.After(from)
				s.limit.pauseFor(pause)
			})
			end := from + pause
			if n := s.countSent(from, end, tc.priority); n > 0 {
				t.Errorf("%d requests were sent during the pause", n)
			}
			for after := time.Second; after <= 20*time.Second; after += time.Second {
				n, most := s.countSent(end, end+after, tc.priority), int(after/simulatedInterval)+1
				least := max(0, int((after-tc.kept*simulatedInterval)/simulatedInterval)-1)
				if n > most || n < least {
					t.Errorf("%d requests were sent in %s after the pause, want %d to %d", n, after, least, most)
				}
			}
			if unused := s.longestUnused(end); unused > 100*time.Millisecond {
				t.Errorf("a token was unused for %s", unused)
			}
			if len(s.sent) != 2*tc.callers+s.broken || s.refused > 4*len(s.sent) || s.longest > maxRetryAfter {
				t.Errorf("%d requests were sent, %d refused, longest wait %s", len(s.sent), s.refused, s.longest)
			}
		})
	}
}

// B20: an operation that has started is finished before others begin, whatever their priority.
func TestStartedOperationsComeBeforeWaitingCallers(t *testing.T) {
	t.Parallel()
	callers := append(repeatCaller(200, simulatedCaller{operation: true}),
		repeatCaller(200, simulatedCaller{priority: Urgent, arrives: time.Second})...)
	s := simulate(t, callers, nil)
	// They leave 20 tokens when they start, and need up to 30 for the requests that follow.
	first, second := 0, 0
	for _, request := range s.sent {
		switch {
		case request.at > 2*time.Second:
		case request.started:
			second++
		case request.priority == Routine:
			first++
		}
	}
	if first < 15 || second != first {
		t.Errorf("%d operations have started, %d have ended", first, second)
	}
	if s.broken > 0 || len(s.sent) != 2*len(callers) {
		t.Errorf("%d operations stopped halfway, %d requests were sent", s.broken, len(s.sent))
	}
	if unused := s.longestUnused(time.Second); unused > 100*time.Millisecond {
		t.Errorf("a token was unused for %s", unused)
	}
	s.checkRate(t)
}

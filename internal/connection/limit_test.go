// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"errors"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

var start = time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC)

func withRate(perMinute int32) func(*v1alpha1.CoderDeploymentSpec) {
	return func(d *v1alpha1.CoderDeploymentSpec) { d.RateLimit.RequestsPerMinute = perMinute }
}

func newLimited(t *testing.T) (*poolEnv, *clocktesting.FakeClock) {
	t.Helper()
	clk := clocktesting.NewFakeClock(start)
	return newPoolEnv(t, clk), clk
}

// spendBurst uses up a burst.
func (s *site) spendBurst(burst int) {
	s.t.Helper()
	for range burst {
		s.mustAsk()
	}
}

func wantRateLimited(t *testing.T, err error, after time.Duration) {
	t.Helper()
	var busy *connection.RateLimitedError
	if !errors.As(err, &busy) || busy.RetryAfter != after {
		t.Fatalf("error %v, want a RateLimitedError for %s", err, after)
	}
	v := connection.ResultOf(err)
	if v.Outcome != authcheck.Unreachable || v.Reason != v1alpha1.ReasonRateLimited || v.RetryAfter != after ||
		connection.RetryAfter(err) != after {
		t.Errorf("result %+v, want rate limited for %s", v, after)
	}
}

// B20
func TestAnExhaustedLimitFailsFastAndDelaysNoOtherDeployment(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	one, other := w.connectDeployment("one", withRate(60)), w.connectDeployment("other", withRate(60))
	one.spendBurst(10) // a whole burst at once
	wantRateLimited(t, one.askServer(t.Context()), time.Second)
	if w.countRequests() != 10 || clk.HasWaiters() {
		t.Errorf("%d requests, waiting: %t", w.countRequests(), clk.HasWaiters())
	}
	other.spendBurst(10)
	clk.Step(time.Second)
	one.mustAsk()
	wantRateLimited(t, one.askServer(t.Context()), time.Second)
	wantRateLimited(t, one.askServer(t.Context()), 2*time.Second) // each caller is told a time of its own
	clk.Step(time.Second)
	one.mustAsk() // a rejected wait has used no token of the bucket
}

// B20
func TestAShortWaitIsWaitedOut(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s := w.connectDeployment("prod") // 300 a minute, bursts of 50
	s.spendBurst(50)
	done := make(chan error)
	go func() { done <- s.askServer(t.Context()) }()
	eventually(t, "it waits for 200 ms", clk.HasWaiters)
	wantRateLimited(t, s.askServer(t.Context()), 400*time.Millisecond)
	clk.Step(200 * time.Millisecond)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// B20
func TestStartedOperationsWaitLonger(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s := w.connectDeployment("prod", withRate(60))
	s.spendBurst(9)
	ctx := connection.WithLongRateLimitWait(t.Context())
	if err := s.askServer(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.askServer(ctx) }()
	eventually(t, "it waits for a second", clk.HasWaiters)
	wantRateLimited(t, s.askServer(connection.WithLongRateLimitWait(t.Context())), 2*time.Second) // has not started
	clk.Step(time.Second)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	go func() { done <- s.askServer(ended) }()
	eventually(t, "it waits again", clk.HasWaiters)
	cancel()
	wantKind(t, <-done, coder.Canceled)
	clk.Step(time.Second)
	s.mustAsk() // the token that was returned
}

func TestANewLimitTakesEffect(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s := w.connectDeployment("prod", withRate(60))
	s.spendBurst(10)
	s.editSpec(withRate(6000))
	s.mustResolve()
	clk.Step(time.Second)
	s.spendBurst(100)
}

// B52
func TestRetryAfterPausesTheDeploymentAndNoOther(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s, other := w.connectDeployment("prod"), w.connectDeployment("other")
	w.server.Inject(coderd.Fault{Kind: coderd.FaultTooManyRequests, RetryAfter: 30 * time.Second, Times: 1})
	err := s.askServer(t.Context())
	wantKind(t, err, coder.RateLimited)
	if v := connection.ResultOf(err); v.RetryAfter != 30*time.Second || v.Outcome != authcheck.Unreachable ||
		v.AboutCaller {
		t.Errorf("result %+v, want 30 s of pause", v)
	}
	wantRateLimited(t, s.askServer(t.Context()), 30*time.Second)
	other.mustAsk()
	if w.countRequests() != 2 {
		t.Errorf("%d requests, want one of each", w.countRequests())
	}
	clk.Step(29 * time.Second)
	wantRateLimited(t, s.askServer(t.Context()), 1200*time.Millisecond)
	clk.Step(time.Second)
	s.mustAsk()
	wantRateLimited(t, s.askServer(t.Context()), 400*time.Millisecond) // not all at once
	clk.Step(10 * time.Second)
	s.spendBurst(50) // a delayed request has used no token
}

// B52
func TestAPauseDelaysRequestsThatAlreadyWait(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s := w.connectDeployment("prod", withRate(60))
	s.spendBurst(8)
	ctx := connection.WithLongRateLimitWait(t.Context())
	if err := s.askServer(ctx); err != nil {
		t.Fatal(err)
	}
	w.server.Inject(coderd.Fault{Kind: coderd.FaultTooManyRequests, RetryAfter: 8 * time.Second, Times: 1})
	limited := make(chan error)
	slow := s.beginRequest(w, limited)
	done := make(chan error)
	go func() { done <- s.askServer(ctx) }()
	eventually(t, "it waits for the bucket", clk.HasWaiters)
	close(slow)
	wantKind(t, <-limited, coder.RateLimited)
	before := w.countRequests()
	clk.Step(time.Second)
	eventually(t, "it waits for the end of the pause", clk.HasWaiters)
	if w.countRequests() != before {
		t.Error("a request was sent during the pause")
	}
	clk.Step(7 * time.Second)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// B20
func TestALongPauseFailsStartedOperations(t *testing.T) {
	t.Parallel()
	w, _ := newLimited(t)
	s := w.connectDeployment("prod")
	ctx := connection.WithLongRateLimitWait(t.Context())
	if err := s.askServer(ctx); err != nil {
		t.Fatal(err)
	}
	w.server.Inject(coderd.Fault{Kind: coderd.FaultTooManyRequests, RetryAfter: 30 * time.Second, Times: 1})
	wantKind(t, s.askServer(ctx), coder.RateLimited)
	wantRateLimited(t, s.askServer(ctx), 30*time.Second)
}

// beginRequest starts a request and returns a channel with its result.
func (s *site) beginRequest(w *poolEnv, out chan<- error) chan struct{} {
	proceed, asked := make(chan struct{}), w.countRequests()
	go func() {
		_, err := s.Do(connection.WithPriority(w.t.Context(), connection.Urgent),
			func(ctx context.Context, resolved *connection.ResolvedClient) error {
				err := askMe(ctx, resolved)
				<-proceed
				return err
			})
		out <- err
	}()
	eventually(w.t, "the request is answered", func() bool { return w.countRequests() > asked })
	return proceed
}

// B53
func TestSkewIsMeasuredByTheServersDate(t *testing.T) {
	t.Parallel()
	w, clk := newLimited(t)
	s, other := w.connectDeployment("prod"), w.connectDeployment("other")
	for _, step := range []struct{ offset, want time.Duration }{
		{0, 0},
		{1900 * time.Millisecond, 0},
		{-1900 * time.Millisecond, 0},
		{5 * time.Minute, 5 * time.Minute},
		{0, 0},
		{-3 * time.Minute, -3*time.Minute + time.Second}, // the header has whole seconds
	} {
		w.server.SetClockOffset(step.offset)
		clk.Step(time.Second)
		s.mustAsk()
		if got := s.Skew(); got != step.want {
			t.Errorf("server off by %s: skew %s, want %s", step.offset, got, step.want)
		}
	}
	if other.Skew() != 0 {
		t.Error("the skew of another deployment changed")
	}
}

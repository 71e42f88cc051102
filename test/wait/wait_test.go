// SPDX-License-Identifier: Apache-2.0

package wait_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

var errNotYet = errors.New("two of three pods run")

// succeedsAt is a check that fails until it has looked n times.
func succeedsAt(n int) wait.Check {
	looks := 0
	return func(context.Context) error {
		if looks++; looks < n {
			return errNotYet
		}
		return nil
	}
}

func TestUntil(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancelCause(t.Context())
	end(errors.New("a process has ended"))
	for name, c := range map[string]struct {
		ctx     context.Context
		timeout time.Duration
		check   wait.Check
		want    string // empty: success
	}{
		"at once":    {t.Context(), time.Minute, succeedsAt(1), ""},
		"after some": {t.Context(), time.Minute, succeedsAt(3), ""},
		"never": {
			t.Context(), 20 * time.Millisecond, succeedsAt(1 << 30), "still not so after 20ms: two of three pods run",
		},
		"not to wait on": {
			t.Context(), time.Minute, func(context.Context) error { return wait.Final(errNotYet) }, errNotYet.Error(),
		},
		"interrupted": {ended, time.Minute, succeedsAt(1 << 30), "a process has ended"},
		"the look is cut off": {t.Context(), 20 * time.Millisecond, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, "nothing was seen"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := wait.Until(c.ctx, c.timeout, time.Millisecond, c.check)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestATimeoutHasWhatWasSeen(t *testing.T) {
	t.Parallel()
	err := wait.Until(t.Context(), time.Millisecond, time.Millisecond, succeedsAt(1<<30))
	var timeout *wait.TimeoutError
	if !errors.As(err, &timeout) || !errors.Is(err, errNotYet) {
		t.Errorf("error is %v", err)
	}
}

func TestThroughout(t *testing.T) {
	t.Parallel()
	always := func(context.Context) error { return nil }
	if err := wait.Throughout(t.Context(), 10*time.Millisecond, time.Millisecond, always); err != nil {
		t.Errorf("always so: %v", err)
	}
	looks := 0
	once := func(context.Context) error {
		if looks++; looks == 3 {
			return errNotYet
		}
		return nil
	}
	if err := wait.Throughout(t.Context(), time.Minute, time.Millisecond, once); !errors.Is(err, errNotYet) {
		t.Errorf("once not so: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := wait.Throughout(ended, time.Minute, time.Millisecond, always); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestAllLooksAtEverything(t *testing.T) {
	t.Parallel()
	other := errors.New("the Secret is missing")
	err := wait.All(succeedsAt(2), func(context.Context) error { return other }, succeedsAt(1))(t.Context())
	if !errors.Is(err, errNotYet) || !errors.Is(err, other) {
		t.Errorf("error is %v", err)
	}
	if err := wait.All(succeedsAt(1), wait.Holds("it is there", func() bool { return true }))(t.Context()); err != nil {
		t.Errorf("error is %v", err)
	}
	if err := wait.Holds("it is there", func() bool { return false })(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "it is there") {
		t.Errorf("error is %v", err)
	}
}

func TestInOrderStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	looked := false
	last := func(context.Context) error { looked = true; return nil }
	if err := wait.InOrder(succeedsAt(1), succeedsAt(2), last)(t.Context()); !errors.Is(err, errNotYet) || looked {
		t.Errorf("error is %v, looked on: %t", err, looked)
	}
	if err := wait.InOrder(succeedsAt(1), last)(t.Context()); err != nil || !looked {
		t.Errorf("error is %v, looked on: %t", err, looked)
	}
}

// SPDX-License-Identifier: Apache-2.0

package authcheck_test

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
)

func TestOnlyAcceptedIsOK(t *testing.T) {
	t.Parallel()
	for _, outcome := range []authcheck.Outcome{
		authcheck.Unknown, authcheck.Accepted, authcheck.Rejected, authcheck.Unreachable, authcheck.ConfigChanging,
	} {
		if got, want := (authcheck.Result{Outcome: outcome}).OK(), outcome == authcheck.Accepted; got != want {
			t.Errorf("OK of outcome %d = %t, want %t", outcome, got, want)
		}
	}
	if (authcheck.Result{}).Outcome != authcheck.Unknown {
		t.Error("the outcome of the zero result is not Unknown")
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		failures   int
		interval   time.Duration
		retryAfter time.Duration
		want       time.Duration
	}{
		"no failure counted yet":                   {0, 5 * time.Minute, 0, time.Second},
		"the first failure":                        {1, 5 * time.Minute, 0, time.Second},
		"doubles":                                  {4, 5 * time.Minute, 0, 8 * time.Second},
		"never beyond the interval":                {12, 5 * time.Minute, 0, 5 * time.Minute},
		"no overflow":                              {1 << 30, 5 * time.Minute, 0, 5 * time.Minute},
		"a long interval is reached by doubling":   {16, 24 * time.Hour, 0, 32768 * time.Second},
		"a short interval is the longest":          {1, 300 * time.Millisecond, 0, 300 * time.Millisecond},
		"Retry-After is honoured":                  {1, 5 * time.Minute, time.Minute, time.Minute},       // B52
		"Retry-After beyond the interval, too":     {1, 5 * time.Minute, time.Hour, time.Hour},           // B52
		"Retry-After does not shorten the backoff": {9, 5 * time.Minute, time.Second, 256 * time.Second}, // B52
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := authcheck.Result{Outcome: authcheck.Unreachable, RetryAfter: tc.retryAfter}
			if got := r.Backoff(tc.failures, tc.interval); got != tc.want {
				t.Errorf("Backoff = %s, want %s", got, tc.want)
			}
		})
	}
}

// The recovery of a server is noticed within seconds: the interval limits the backoff only if it is
// shorter than that.
func TestProbeDelay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		failures   int
		interval   time.Duration
		retryAfter time.Duration
		want       time.Duration
	}{
		"the first failure":       {1, time.Hour, 0, time.Second},
		"doubles":                 {5, time.Hour, 0, 16 * time.Second},
		"never beyond 30 s":       {6, time.Hour, 0, 30 * time.Second},
		"nor later":               {1000, 24 * time.Hour, 0, 30 * time.Second},
		"a shorter interval":      {1000, 10 * time.Second, 0, 10 * time.Second},
		"Retry-After is honoured": {1000, time.Hour, time.Minute, time.Minute}, // B52
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := authcheck.Result{Outcome: authcheck.Unreachable, RetryAfter: tc.retryAfter}
			if got := r.ProbeDelay(tc.failures, tc.interval); got != tc.want {
				t.Errorf("ProbeDelay = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestIsProbed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		result authcheck.Result
		want   bool
	}{
		"unreachable":                 {authcheck.Result{Outcome: authcheck.Unreachable}, true},
		"an answer of something else": {authcheck.Result{Outcome: authcheck.Rejected, NotFromServer: true}, true},
		"a refusal":                   {authcheck.Result{Outcome: authcheck.Rejected, AboutCaller: true}, false},
		"accepted":                    {authcheck.Result{Outcome: authcheck.Accepted}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.result.IsProbed(); got != tc.want {
				t.Errorf("IsProbed = %t", got)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package wait

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// DefaultInterval is the pause between two looks where none is chosen.
const DefaultInterval = 20 * time.Millisecond

// Check looks once. Its error says what is not as it should be; nil: all is.
type Check func(ctx context.Context) error

// All is one check of several. All of them look each time, and its error has all of theirs.
func All(checks ...Check) Check {
	return func(ctx context.Context) error {
		var errs []error
		for _, check := range checks {
			errs = append(errs, check(ctx))
		}
		return errors.Join(errs...)
	}
}

// InOrder is one check of several of which the later ones are looked at only when the earlier ones
// succeed. Its error is that of the first that fails.
func InOrder(checks ...Check) Check {
	return func(ctx context.Context) error {
		for _, check := range checks {
			if err := check(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// Holds is a check of a condition that is described in words.
func Holds(what string, condition func() bool) Check {
	return func(context.Context) error {
		if !condition() {
			return errors.New("not yet so: " + what)
		}
		return nil
	}
}

// Final marks an error of a check that waiting does not change. Until returns the error at once,
// without the mark.
func Final(err error) error { return &finalError{err} }

type finalError struct{ error }

// TimeoutError is a check that did not succeed in time.
type TimeoutError struct {
	// After is how long it was waited.
	After time.Duration
	// Last is the error of the last look that was not cut off. It is never nil.
	Last error
}

// Error has what was last seen.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("still not so after %s: %v", e.After, e.Last)
}

// Unwrap is what was last seen.
func (e *TimeoutError) Unwrap() error { return e.Last }

// Until looks at once and then after each interval (zero: DefaultInterval) until the check
// succeeds. It returns a TimeoutError after the timeout, the cause of a ctx that ends earlier, and
// a Final error of the check. The check's own ctx ends with the timeout.
func Until(ctx context.Context, timeout, interval time.Duration, check Check) error {
	looking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if interval == 0 {
		interval = DefaultInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	last := errors.New("nothing was seen")
	for {
		err := check(looking)
		var final *finalError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &final):
			return final.error
		case looking.Err() == nil:
			last = err // what was seen before says more than a look that was cut off
		}
		select {
		case <-tick.C:
		case <-looking.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if looking.Err() != nil {
			return &TimeoutError{After: timeout, Last: last}
		}
	}
}

// Throughout looks again and again for a while, and returns the first error of the check, or nil.
// A look that the end of the time cuts off does not count. A ctx that ends earlier is an error.
func Throughout(ctx context.Context, duration, interval time.Duration, check Check) error {
	failed := errors.New("the check failed")
	var seen error
	err := Until(ctx, duration, interval, func(looking context.Context) error {
		if err := check(looking); err != nil && looking.Err() == nil {
			seen = err
			return Final(failed)
		}
		return errors.New("all is well so far")
	})
	var over *TimeoutError
	switch {
	case seen != nil:
		return seen
	case errors.As(err, &over):
		return nil
	}
	return err
}

// ForTest fails the test unless the check succeeds in time.
func ForTest(t testing.TB, timeout time.Duration, check Check) {
	t.Helper()
	if err := Until(t.Context(), timeout, 0, check); err != nil {
		t.Fatal(err)
	}
}

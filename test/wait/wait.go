// SPDX-License-Identifier: Apache-2.0

package wait

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Where no interval is chosen, it is a tenth of what was waited already, within these bounds: a
// long wait costs the API server little, and a short one ends in time.
const (
	shortestInterval = 20 * time.Millisecond
	longestInterval  = 100 * time.Millisecond
)

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

// Until looks at once and then after each interval (zero: one that grows) until the check
// succeeds. It returns a TimeoutError after the timeout, the cause of a ctx that ends earlier, and
// a Final error of the check. The check's own ctx ends with the timeout.
func Until(ctx context.Context, timeout, interval time.Duration, check Check) error {
	looking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	begun, last := time.Now(), errors.New("nothing was seen")
	for {
		looked := time.Now()
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
		case <-time.After(time.Until(looked.Add(cmp.Or(interval, growingInterval(looked.Sub(begun)))))):
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

// growingInterval is the time from one look to the next after so much waiting.
func growingInterval(waited time.Duration) time.Duration {
	return min(max(waited/10, shortestInterval), longestInterval)
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

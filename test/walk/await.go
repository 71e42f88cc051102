// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// Patience is how long what is expected may take. On an idle machine it takes
	// seconds; on a busy one with few cores it takes many times that.
	Patience = time.Minute
	// pollInterval is well below what is measured with it.
	pollInterval = 25 * time.Millisecond
)

// UnexpectedError is a step that went another way.
type UnexpectedError struct{ Expected, Seen string }

// Error says both on one line.
func (e *UnexpectedError) Error() string {
	return fmt.Sprintf("expected %s, seen: %s", e.Expected, e.Seen)
}

// Look describes what there is now, and whether it is what is waited for. An error
// counts as something that was seen and may pass, unless it is an UnexpectedError or
// the end of a process.
type Look func(ctx context.Context) (seen string, ok bool, err error)

// Await looks until it is as expected, and returns how long that took.
func Await(ctx context.Context, expected string, look Look) (time.Duration, error) {
	return AwaitFor(ctx, Patience, expected, look)
}

// AwaitFor is Await with another patience.
func AwaitFor(ctx context.Context, patience time.Duration, expected string, look Look) (time.Duration, error) {
	started := time.Now()
	last := "nothing yet"
	var final error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		seen, ok, err := look(ctx)
		if isFinal(err) {
			final = err
			return false, err
		}
		if ctx.Err() != nil {
			return false, nil // what was seen before says more than a look that was cut off
		}
		if err != nil {
			seen, ok = err.Error(), false
		}
		last = seen
		return ok, nil
	})
	switch {
	case final != nil:
		return 0, final
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil:
		return 0, &UnexpectedError{Expected: expected, Seen: fmt.Sprintf("after %s still: %s", Brief(patience), last)}
	}
	return time.Since(started), nil
}

func isFinal(err error) bool {
	var other *UnexpectedError
	var died *ExitError
	return errors.As(err, &other) || errors.As(err, &died)
}

// Stays looks for a while whether it is always as expected.
func Stays(ctx context.Context, d time.Duration, expected string, look Look) error {
	var other error
	_ = wait.PollUntilContextTimeout(ctx, pollInterval, d, true, func(ctx context.Context) (bool, error) {
		seen, ok, err := look(ctx)
		if ctx.Err() == nil && err != nil {
			other = err
		} else if ctx.Err() == nil && !ok {
			other = &UnexpectedError{Expected: expected, Seen: seen}
		}
		return other != nil, nil
	})
	if other == nil {
		return ctx.Err()
	}
	return other
}

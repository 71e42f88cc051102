// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

const (
	// Patience is how long Await waits. On an idle machine most waits take seconds, on a busy one
	// with few cores many times that.
	Patience = time.Minute
	// pollInterval is well below the durations that are measured with it.
	pollInterval = 25 * time.Millisecond
)

// UnexpectedError says what a step expected and what it has seen.
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
	err := wait.Until(ctx, patience, pollInterval, func(ctx context.Context) error {
		seen, ok, err := look(ctx)
		switch {
		case isFinal(err):
			return wait.Final(err)
		case err == nil && !ok:
			return errors.New(seen)
		}
		return err
	})
	var timeout *wait.TimeoutError
	switch {
	case errors.As(err, &timeout):
		seen := fmt.Sprintf("after %s still: %v", Brief(patience), timeout.Last)
		return 0, &UnexpectedError{Expected: expected, Seen: seen}
	case err != nil:
		return 0, err
	}
	return time.Since(started), nil
}

func isFinal(err error) bool {
	var other *UnexpectedError
	var died *program.ExitError
	return errors.As(err, &other) || errors.As(err, &died)
}

// Stays looks for a while whether it is always as expected.
func Stays(ctx context.Context, d time.Duration, expected string, look Look) error {
	return wait.Throughout(ctx, d, pollInterval, func(ctx context.Context) error {
		seen, ok, err := look(ctx)
		if err == nil && !ok {
			return &UnexpectedError{Expected: expected, Seen: seen}
		}
		return err
	})
}

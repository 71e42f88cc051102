// SPDX-License-Identifier: Apache-2.0

// Package wait polls until something is as a test wants it, up to a deadline, and says in the end
// what was last seen instead.
//
//	wait.ForTest(t, time.Minute, func(ctx context.Context) error {
//		session, err := get(ctx, "ci")
//		if err != nil {
//			return err
//		}
//		return isReady(session) // an error that says what is not yet so
//	})
//
// It owns the loop, its deadline and its error. What is looked at belongs to the tests, and so do
// the timeouts: how long something may take depends on what it is. test/coderd polls by itself,
// because it imports nothing of the repository.
package wait

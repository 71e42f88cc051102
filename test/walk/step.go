// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"context"
	"fmt"
	"time"
)

// Step is one thing that is shown. It prints what it sees and returns an error at the
// first thing that is not as expected.
type Step struct {
	Title  string
	Expect string
	Run    func(context.Context) error
}

// Run takes the steps in their order, up to the first that fails, and returns how many
// passed.
func Run(ctx context.Context, term *Terminal, steps []Step) (int, error) {
	started := time.Now()
	for i, s := range steps {
		term.Heading(fmt.Sprintf("%d/%d  %s", i+1, len(steps), s.Title))
		term.Expect(s.Expect)
		if err := s.Run(ctx); err != nil {
			return i, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	term.Heading(fmt.Sprintf("All %d steps were as expected, in %s.", len(steps), Brief(time.Since(started))))
	return len(steps), nil
}

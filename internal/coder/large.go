// SPDX-License-Identifier: Apache-2.0

package coder

import "context"

// LargeAnswers limits how many large answers are decoded at a time, of all clients that share it
// (B130). Small answers need no turn. It is safe for concurrent use; nil does not limit.
type LargeAnswers struct{ turns chan struct{} }

// NewLargeAnswers returns a limit of most answers at a time, at least 1.
func NewLargeAnswers(most int) *LargeAnswers {
	return &LargeAnswers{turns: make(chan struct{}, most)}
}

// acquire waits for a turn, which release ends. release is never nil. The error is that of ctx.
func (l *LargeAnswers) acquire(ctx context.Context) (release func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	select {
	case l.turns <- struct{}{}:
		return func() { <-l.turns }, nil
	case <-ctx.Done():
		return func() {}, ctx.Err()
	}
}

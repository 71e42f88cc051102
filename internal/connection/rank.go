// SPDX-License-Identifier: Apache-2.0

package connection

import "context"

// Priority says whose turn comes first where a rate limit leaves no room for all (B52). The zero value is Routine.
type Priority int

const (
	// Routine work can wait: refreshing in good time, revoking, looking around.
	Routine Priority = iota
	// First work is for somebody who has no credential yet.
	First
	// Urgent work keeps a credential that is in use from running out, or finds out whether the settings work at all.
	Urgent
)

type rankKey struct{}

// WithPriority returns a context whose requests have a rank.
func WithPriority(ctx context.Context, rank Priority) context.Context {
	return context.WithValue(ctx, rankKey{}, rank)
}

func rankOf(ctx context.Context) Priority {
	rank, _ := ctx.Value(rankKey{}).(Priority)
	return rank
}

// leaves is how many of a burst's turns work of the rank leaves to what is above it. While there is enough for all nobody
// notices; when there is not, what flows in is taken by the highest rank first.
func (r Priority) leaves(burst int) float64 {
	switch r {
	case Urgent:
		return 0
	case First:
		return float64(burst) / 5
	default:
		return float64(burst) * 2 / 5
	}
}

// SPDX-License-Identifier: Apache-2.0

package connection

import "context"

// Priority decides which requests are sent first if the rate limit does not allow all of them
// (B52). The zero value is Routine.
type Priority int

const (
	// Routine requests can wait: early refreshes, revocations, listings.
	Routine Priority = iota
	// First requests are for sessions that have no credential yet.
	First
	// Urgent requests keep a credential in use from expiring, or verify the settings.
	Urgent
)

type priorityKey struct{}

// WithPriority returns a context whose requests have a priority.
func WithPriority(ctx context.Context, priority Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, priority)
}

type namespaceKey struct{}

// WithNamespace returns a context whose requests are for an object of a namespace. Namespaces share the
// rate limit of a deployment (B131). Without it requests are for the deployment itself.
func WithNamespace(ctx context.Context, namespace string) context.Context {
	return context.WithValue(ctx, namespaceKey{}, namespace)
}

func namespaceOf(ctx context.Context) string {
	namespace, _ := ctx.Value(namespaceKey{}).(string)
	return namespace
}

func priorityOf(ctx context.Context) Priority {
	priority, _ := ctx.Value(priorityKey{}).(Priority)
	return priority
}

// reservedTokens returns how many tokens of a burst requests of the priority leave for those of a
// higher one. It has no effect while the bucket is full enough. If it is not, the highest priority
// gets new tokens first.
func (r Priority) reservedTokens(burst int) float64 {
	switch r {
	case Urgent:
		return 0
	case First:
		return float64(burst) / 5
	default:
		return float64(burst) * 2 / 5
	}
}

// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// UnknownScopesError says that the server does not know scopes.
type UnknownScopesError struct {
	// Scopes that the server does not know, at least one.
	Scopes []string
	// Field of the spec that has them.
	Field string
}

// Error says which scopes, and what to do.
func (e *UnknownScopesError) Error() string {
	quoted := make([]string, len(e.Scopes))
	for i, name := range e.Scopes {
		quoted[i] = strconv.Quote(name)
	}
	return fmt.Sprintf("the server knows no scope %s: correct %s, or upgrade the server",
		strings.Join(quoted, ", "), e.Field)
}

// CheckScopes returns an *UnknownScopesError if the server does not know one of the scopes, so that
// nothing is requested with it (B125). It asks the server, unless everything is wanted; the answer is
// reused for 10 s. A server without a list of scopes does not limit tokens to scopes (contract B.6):
// for it the result is false.
func (c *Connection) CheckScopes(ctx context.Context, wanted []string, field string) (enforced bool, err error) {
	if len(wanted) == 0 {
		return true, nil
	}
	known, err := c.knownScopes(ctx)
	switch {
	case coder.KindOf(err) == coder.Malformed:
		return false, nil
	case err != nil:
		return false, err
	}
	unknown := slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return slices.Contains(known, name) })
	if len(unknown) == 0 {
		return true, nil
	}
	return true, &UnknownScopesError{Scopes: unknown, Field: field}
}

// knownScopes returns the scopes that the server knows.
func (c *Connection) knownScopes(ctx context.Context) ([]string, error) {
	return shareAnswer(ctx, c, &c.scopes, "", func(ctx context.Context) (known []string, err error) {
		_, err = c.Do(ctx, func(ctx context.Context, resolved *ResolvedClient) (err error) {
			known, err = resolved.Client.Scopes(ctx)
			return err
		})
		return known, err
	})
}

// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// hasLiveTokens: the server has so many live tokens that the operator minted.
func (w *operatorEnv) hasLiveTokens(want int) wait.Check {
	return func(context.Context) error {
		live := w.mintedTokens()
		if len(live) != want {
			return fmt.Errorf("%d live minted tokens on the server, want %d", len(live), want)
		}
		return nil
	}
}

func (w *operatorEnv) mintedTokens() []coderd.Key { return w.LiveTokens("cso-") }

// countVerifications is how often the Coder server was asked to verify settings.
func (w *operatorEnv) countVerifications() int { return w.Coder.Count("GET", "/api/v2/buildinfo") }

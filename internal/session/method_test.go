// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/declared"
)

func TestEveryAuthMethodHasItsDecisions(t *testing.T) {
	t.Parallel()
	for _, name := range declared.StringConstants(t, "api/v1alpha1/names.go", "AuthMethod") {
		if methods[v1alpha1.AuthMethod(name)] == nil {
			t.Errorf("methods has no decisions for sessions with the auth method %s", name)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build !e2e

package cluster_test

import (
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/cluster"
)

func TestNoClusterIsStartedInTheMachinesOwnNamespaces(t *testing.T) {
	t.Parallel()
	_, err := cluster.Start(t.Context(), cluster.Options{Programs: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "call cluster.Enter first") {
		t.Errorf("error is %v", err)
	}
}

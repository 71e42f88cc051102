// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// replicaEnv marks a process of this test binary that runs as a replica of the operator.
const replicaEnv = "TEST_RUN_AS_OPERATOR"

func TestMain(m *testing.M) {
	if os.Getenv(replicaEnv) != "" {
		main()
		return
	}
	os.Exit(kube.Shared(m))
}

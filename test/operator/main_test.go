// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

func TestMain(m *testing.M) {
	// What the operators log is searched for credentials (B90).
	ctrl.SetLogger(logr.New(redact.Sink(logs)))
	os.Exit(kube.Shared(m))
}

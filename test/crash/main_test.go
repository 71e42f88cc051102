// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// atATime is how many cases run at a time. They wait even longer than other tests.
const atATime = 10

func TestMain(m *testing.M) {
	// Each operator has a log of its own, see operator_test.go.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	kube.RunAtATime(atATime)
	os.Exit(kube.Shared(m))
}

// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// TestMain goes to the root of the repository: test/kube takes the CRDs and the Kubernetes programs of the module that
// it finds itself in.
func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	if err := os.Chdir("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(kube.Shared(m))
}

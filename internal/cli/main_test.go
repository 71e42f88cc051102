// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // as the plugin does
	log.SetLogger(logr.Discard())
	os.Exit(kube.Shared(m))
}

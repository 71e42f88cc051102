// SPDX-License-Identifier: Apache-2.0

package edge_test

import (
	"flag"
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// atATime is how many cases run at a time: each of them waits most of its time.
const atATime = "12"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", atATime); err != nil {
			panic(err)
		}
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(kube.Shared(m))
}

func TestNginx(t *testing.T) {
	findNginx(t)
	cluster := kube.ForTest(t)
	operator, err := inprocess.Start(inprocess.Options{Config: cluster.Config, Scheme: cluster.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Run("answers", testAnswers)
	t.Run("bodies", testBodyLimit)
	t.Run("without a token", testWithoutToken)
	t.Run("streams", testStreams)
}

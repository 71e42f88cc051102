// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// installFinalizerPolicy installs the policy that gives new sessions their finalizer, as the chart does, and
// waits until it is in force.
func (w *scaleEnv) installFinalizerPolicy() {
	w.T.Helper()
	root, err := kube.Root()
	w.Must(err)
	text, err := os.ReadFile(filepath.Join(root, "config", "session_finalizer", "session_finalizer.yaml"))
	w.Must(err)
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		object := &unstructured.Unstructured{}
		w.Must(yaml.UnmarshalStrict([]byte(part), &object.Object))
		w.Must(w.watcher.Create(w.T.Context(), object))
	}
	waitFor(w.T, "new sessions have the finalizer", 100*time.Millisecond, func() bool {
		trial := w.NewMintedSession("trial", bot(0))
		// The API server answers with an error until it knows the schema of the CRD.
		err := w.watcher.Create(w.T.Context(), trial, client.DryRunAll)
		return err == nil && len(trial.Finalizers) > 0
	})
}

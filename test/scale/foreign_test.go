// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const (
	// foreignSecrets and foreignConfigMaps are how many objects of others a large cluster has.
	foreignSecrets    = 60_000
	foreignConfigMaps = 7_000
	// foreignMetadata is how many bytes of annotations each of them has.
	foreignMetadata = 2_000
	// mostSeconds and mostMiB are what the operator may need with them.
	mostSeconds, mostMiB = 60, 256
)

// BenchmarkForeignObjects starts the operator in a cluster with many Secrets and ConfigMaps that are not
// its own, while nothing else happens there, and lets it mint for 30 sessions.
func BenchmarkForeignObjects(b *testing.B) {
	f := newFigures(b)
	for b.Loop() {
		w := newEnv(b)
		w.createForeignObjects()
		ready := w.startOperator()
		f.addSample("s-to-ready", ready.Seconds())
		f.addSample("peak-MiB-at-ready", w.operator.memoryMiB("VmHWM"))
		w.createDeployment(v1alpha1.VerifyPolicy{Interval: never})
		w.mintSessions(bots)
		w.awaitSettled()
		peak := w.operator.memoryMiB("VmHWM")
		f.addSample("peak-MiB", peak)
		f.addSample("resident-MiB", w.operator.memoryMiB("VmRSS"))
		f.addSample("operator-CPU-s", w.operator.cpuTime().Seconds())
		w.closeAll()
		if ready.Seconds() > mostSeconds || peak > mostMiB {
			b.Errorf("ready after %s with %.0f MiB, want at most %d s and %d MiB", ready, peak, mostSeconds, mostMiB)
		}
	}
	f.reportAll()
}

// createForeignObjects writes the objects of others, as tools write them: with a label and annotations.
func (w *scaleEnv) createForeignObjects() {
	w.T.Helper()
	namespace := w.Cluster.Namespace(w.T, nil)
	meta := func(kind string, i int) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: namespace, Name: fmt.Sprintf("foreign-%s-%06d", kind, i),
			Labels: map[string]string{
				"app.kubernetes.io/name": fmt.Sprintf("application-%d", i%100), "app.kubernetes.io/managed-by": "Helm",
			},
			Annotations: map[string]string{
				"example.com/applied": strings.Repeat("x", foreignMetadata/2),
				"example.com/checked": strings.Repeat("y", foreignMetadata/2),
			},
		}
	}
	w.Must(inParallel(foreignSecrets+foreignConfigMaps, func(i int) error {
		var object client.Object = &corev1.Secret{
			ObjectMeta: meta("secret", i), StringData: map[string]string{"key": "value"},
		}
		if i >= foreignSecrets {
			object = &corev1.ConfigMap{ObjectMeta: meta("configmap", i), Data: map[string]string{"key": "value"}}
		}
		return w.watcher.Create(w.T.Context(), object)
	}))
}

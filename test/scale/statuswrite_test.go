// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const (
	// writeRounds is how often each kind of write is measured, in turn, so that what else the machine does
	// disturbs all of them.
	writeRounds = 5
	// writesPerRound are enough for a time that is counted in 10 ms.
	writesPerRound = 200
)

// BenchmarkStatusFloor measures how much CPU time of the API server the first write of a session's status takes,
// as a multiple of what the creation of its Secret does: of the status that the operator has written for a session
// with auth.mint, and of one with observedGeneration only, which is the floor.
func BenchmarkStatusFloor(b *testing.B) {
	f := newFigures(b)
	for b.Loop() {
		measureStatusWrites(b, f)
	}
	f.reportAll()
}

func measureStatusWrites(b *testing.B, f *figures) {
	b.Helper()
	w := newEnv(b)
	defer w.closeAll()
	session, secret := w.mintOne()
	encoded, err := json.Marshal(session.Status)
	w.Must(err)
	f.addSample("status-bytes", float64(len(encoded)))
	floor := v1alpha1.CoderSessionStatus{ObservedGeneration: 1}
	namespace := w.Cluster.Namespace(b, nil)
	took := map[string][]float64{}
	for round := range writeRounds {
		name := func(i int) string { return fmt.Sprintf("session-%d-%04d", round, i) }
		secrets := w.measureServerCPU(func(i int) error {
			return w.watcher.Create(b.Context(), copySecret(secret, namespace, name(i)))
		})
		took["secret"] = append(took["secret"], secrets)
		for kind, status := range map[string]v1alpha1.CoderSessionStatus{"status": session.Status, "floor": floor} {
			made := w.createBareSessions(namespace, kind, round, session)
			took[kind] = append(took[kind], w.measureServerCPU(func(i int) error {
				before := made[i].DeepCopy()
				made[i].Status = status
				patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
				ignore := client.FieldValidation(metav1.FieldValidationIgnore)
				return w.watcher.Status().Patch(b.Context(), made[i], patch, ignore)
			}))
		}
	}
	create := quantile(took["secret"], 0.5)
	f.addSample("server-CPU-ms/secret-create", create)
	f.addSample("x-secret-create-of-a-status-patch", quantile(took["status"], 0.5)/create)
	f.addSample("x-secret-create-of-a-patch-of-one-field", quantile(took["floor"], 0.5)/create)
}

// mintOne lets the operator mint for one session, stops it, and returns the session and its Secret.
func (w *scaleEnv) mintOne() (*v1alpha1.CoderSession, *corev1.Secret) {
	w.T.Helper()
	w.startOperator()
	w.createDeployment(v1alpha1.VerifyPolicy{Interval: never})
	w.mintSessions(1)
	w.awaitSettled()
	w.operator.stop()
	session, secret := &v1alpha1.CoderSession{}, &corev1.Secret{}
	key := client.ObjectKey{Namespace: w.Namespace, Name: "session-0000"}
	w.Must(w.watcher.Get(w.T.Context(), key, session))
	key.Name = session.SecretName()
	w.Must(w.watcher.Get(w.T.Context(), key, secret))
	return session, secret
}

// createBareSessions creates sessions like one that is there, with its finalizer and without a status.
func (w *scaleEnv) createBareSessions(
	namespace, kind string, round int, like *v1alpha1.CoderSession,
) []*v1alpha1.CoderSession {
	w.T.Helper()
	made := make([]*v1alpha1.CoderSession, writesPerRound)
	for i := range made {
		made[i] = &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: fmt.Sprintf("%s-%d-%04d", kind, round, i), Finalizers: like.Finalizers,
		}, Spec: like.Spec}
		w.Must(w.watcher.Create(w.T.Context(), made[i]))
	}
	return made
}

// copySecret is a Secret like one that is there.
func copySecret(like *corev1.Secret, namespace, name string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: like.Labels, Annotations: like.Annotations,
			OwnerReferences: like.OwnerReferences,
		},
		Type: like.Type, Data: like.Data,
	}
}

// measureServerCPU makes the writes of a round, one after another, and returns the CPU time in ms that the API
// server has used for each.
func (w *scaleEnv) measureServerCPU(write func(i int) error) float64 {
	w.T.Helper()
	pid := w.serverPID()
	before := w.serverCPU(pid)
	for i := range writesPerRound {
		w.Must(write(i))
	}
	return (w.serverCPU(pid) - before).Seconds() * 1000 / writesPerRound
}

// serverCPU is the CPU time that a process has used so far.
func (w *scaleEnv) serverCPU(pid string) time.Duration {
	w.T.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	w.Must(err)
	return cpuTimeIn(w.T, string(stat))
}

// serverPID is the process id of the API server, which is the one that was told to listen on its port.
func (w *scaleEnv) serverPID() string {
	w.T.Helper()
	address, err := url.Parse(w.Cluster.Config.Host)
	w.Must(err)
	if address.Port() == "" {
		address.Host = w.Cluster.Config.Host
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	w.Must(err)
	for _, path := range commands {
		command, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(command), "kube-apiserver\x00") &&
			strings.Contains(string(command)+"\x00", "--secure-port="+address.Port()+"\x00") {
			return filepath.Base(filepath.Dir(path))
		}
	}
	w.T.Fatalf("no process listens as %s", w.Cluster.Config.Host)
	return ""
}

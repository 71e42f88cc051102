// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// largeSizes are the numbers of sessions of BenchmarkLarge, separated by commas: make bench-large.
var largeSizes = flag.String("large", "", "numbers of sessions of BenchmarkLarge; default: it is skipped")

const (
	largeDeployments = 40
	largeNamespaces  = 200
	// largePatience is how long each step may take.
	largePatience = 30 * time.Minute
)

// BenchmarkLarge has many sessions on 40 deployments in 200 namespaces, all of which are created, found
// again by an operator that starts, and deleted.
func BenchmarkLarge(b *testing.B) {
	if *largeSizes == "" {
		b.Skip("it takes long: make bench-large")
	}
	var first float64 // ms/session of the first size
	for text := range strings.SplitSeq(*largeSizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			f := newFigures(b)
			for b.Loop() {
				measureLarge(b, f, n)
			}
			if each := f.medianOf("ms/session"); first == 0 {
				first = each
			} else {
				f.addSample("x-time-of-first-size/session", each/first)
			}
			f.reportAll()
		})
	}
}

func measureLarge(b *testing.B, f *figures, n int) {
	b.Helper()
	w := newEnv(b)
	defer w.closeAll()
	w.startOperator()
	namespaces := w.createLargeDeployments()
	w.awaitSettled()
	f.addSample("empty-MiB-RSS", w.operator.memoryMiB("VmRSS"))

	w.measureStep(f, "cold", n, func() {
		times := w.createLarge(namespaces, n)
		f.addSample("p50-ms-to-ready", quantile(times, 0.5))
		f.addSample("p95-ms-to-ready", quantile(times, 0.95))
		f.addSample("p99-ms-to-ready", quantile(times, 0.99))
	})
	f.addSample("ms/session", f.medianOf("cold-s")*1000/float64(n))
	f.addSample("MiB-RSS", w.operator.memoryMiB("VmRSS"))
	f.addSample("peak-MiB", w.operator.memoryMiB("VmHWM"))

	w.operator.stop()
	w.Coder.ResetLog()
	before := w.calls.countCalls(b)
	f.addSample("restart-ms-to-ready", w.startOperator().Seconds()*1000)
	w.awaitSettled()
	f.addEach(callsSince(before, w.calls.countCalls(b)), 1, "restart")
	f.addSample("restart-MiB-RSS", w.operator.memoryMiB("VmRSS"))
	used, since := w.operator.cpuTime(), time.Now()
	waitIdle(idle)
	f.addSample("idle-MiB-RSS", w.operator.memoryMiB("VmRSS"))
	f.addSample("idle-CPU-%", 100*(w.operator.cpuTime()-used).Seconds()/time.Since(since).Seconds())

	w.measureStep(f, "delete", n, func() { w.deleteLarge(namespaces) })
	w.requireNothingAbandoned()
}

// measureStep reports what a step with all sessions takes, and with how many calls.
func (w *scaleEnv) measureStep(f *figures, name string, n int, step func()) {
	w.T.Helper()
	w.Coder.ResetLog()
	calls, cpu, started := w.calls.countCalls(w.T), w.operator.cpuTime(), time.Now()
	step()
	f.addSample(name+"-s", time.Since(started).Seconds())
	w.awaitSettled()
	calls = filterCalls(callsSince(calls, w.calls.countCalls(w.T)), notOfLease)
	f.addSample(name+"-CPU-ms/session", (w.operator.cpuTime()-cpu).Seconds()*1000/float64(n))
	f.addSample(name+"-API-calls/session", float64(sumOf(calls))/float64(n))
	f.addEach(calls, float64(n), name)
	coderCalls := w.coderCalls()
	f.addSample(name+"-Coder-calls/session", float64(sumOf(coderCalls))/float64(n))
	f.addEach(coderCalls, float64(n), name)
}

// createLargeDeployments creates the namespaces, and the deployments that sessions of all of them may use.
func (w *scaleEnv) createLargeDeployments() (namespaces []string) {
	w.T.Helper()
	for range largeNamespaces {
		namespaces = append(namespaces, w.Cluster.Namespace(w.T, nil))
	}
	for i := range largeDeployments {
		d := w.newDeployment(largeDeployment(i), w.listener.URL(), "token", v1alpha1.VerifyPolicy{Interval: never})
		d.Spec.Access = []v1alpha1.AccessRule{{
			Name: "all", Users: []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
		}}
		w.putObject(d)
	}
	for i := range largeDeployments {
		w.awaitVerified(largeDeployment(i))
	}
	return namespaces
}

func largeDeployment(i int) string { return fmt.Sprintf("coder-%02d", i%largeDeployments) }

// createLarge creates sessions in all namespaces in turn, and returns how long each took until it was
// ready, in milliseconds.
func (w *scaleEnv) createLarge(namespaces []string, n int) []float64 {
	w.T.Helper()
	var mu sync.Mutex
	sent, ready := map[string]time.Time{}, map[string]time.Time{}
	ctx, cancel := context.WithTimeout(w.T.Context(), largePatience)
	defer cancel()
	created := make(chan error, 1)
	go func() {
		created <- inParallel(n, func(i int) error {
			s := w.NewMintedSession(fmt.Sprintf("session-%05d", i), bot(i))
			s.Namespace = namespaces[i%len(namespaces)]
			s.Spec.DeploymentRef = v1alpha1.DeploymentRef{
				Name: v1alpha1.ObjectName(largeDeployment(i)), Namespace: v1alpha1.ObjectName(w.Namespace),
			}
			mu.Lock()
			sent[s.Name] = time.Now()
			mu.Unlock()
			return w.watcher.Create(ctx, s)
		})
	}()
	for len(ready) < n {
		changes, err := w.watcher.Watch(ctx, &v1alpha1.CoderSessionList{})
		w.Must(err)
		for event := range changes.ResultChan() {
			s, ok := event.Object.(*v1alpha1.CoderSession)
			if !ok {
				break
			}
			if _, known := ready[s.Name]; !known && isReady(s) {
				ready[s.Name] = time.Now()
			}
			if len(ready) == n {
				break
			}
		}
		changes.Stop()
		w.Must(ctx.Err())
	}
	w.Must(<-created)
	times := make([]float64, 0, n)
	for name, at := range ready {
		times = append(times, at.Sub(sent[name]).Seconds()*1000)
	}
	return times
}

// deleteLarge deletes all sessions and waits until the last one is gone.
func (w *scaleEnv) deleteLarge(namespaces []string) {
	w.T.Helper()
	w.Must(inParallel(len(namespaces), func(i int) error {
		return w.watcher.DeleteAllOf(w.T.Context(), &v1alpha1.CoderSession{}, client.InNamespace(namespaces[i]))
	}))
	gone := wait.Holds("all sessions are gone", func() bool {
		left := &metav1.PartialObjectMetadataList{}
		left.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("CoderSessionList"))
		w.Must(w.watcher.List(w.T.Context(), left, client.Limit(1)))
		return len(left.Items) == 0
	})
	w.Must(wait.Until(w.T.Context(), largePatience, 200*time.Millisecond, gone))
}

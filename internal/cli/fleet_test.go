// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// fleetSize is the number of sessions and deployments of a fleet.
const fleetSessions, fleetDeployments = 500, 5

// newFleet starts a control plane of its own with a fleet in it. Some of the sessions are
// unhealthy.
func newFleet(t testing.TB) *pluginEnv {
	t.Helper()
	cluster, err := kube.Start(t.Context(), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := &pluginEnv{t: t, cluster: cluster, namespace: "fleet"}
	w.createNamespaces("fleet")
	for i := range fleetDeployments {
		w.createObjects(newDeployment("fleet", fmt.Sprintf("prod-%d", i)))
	}
	var workers sync.WaitGroup
	for worker := range 10 {
		workers.Go(func() {
			for i := worker; i < fleetSessions; i += 10 {
				s := mintedSession("fleet", fmt.Sprintf("s-%03d", i), "", fmt.Sprintf("prod-%d", i%fleetDeployments))
				switch {
				case i%fleetDeployments == 1 && i < 200:
					isNot(v1alpha1.ReasonSuspended, "the user is suspended on the server")(s)
					s.Status.Suspension = &v1alpha1.Suspension{Reason: v1alpha1.ReasonUserSuspended,
						StartTime: *beforeNoon(time.Hour)}
				case i%50 == 0:
					isNot(v1alpha1.ReasonPaused, "paused by spec.paused")(s)
				case i == 7:
					withCondition(v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonTemplateInvalid,
						`template ".netrc": no such field`)(s)
				}
				w.createObjects(s)
			}
		})
	}
	workers.Wait()
	return w
}

// The number of requests does not depend on the number of sessions on a page, and the output stays
// short.
func TestStatusOfAFleetIsShortAndTakesTwoRequests(t *testing.T) {
	t.Parallel()
	w := newFleet(t)
	l := newLink(w)
	for name, args := range map[string][]string{
		"everywhere":       {"status", "-A"},
		"in the namespace": {"status"},
		"one by one":       {"status", "-o", "wide"},
		"as JSON":          {"status", "-A", "-o", "json"},
	} {
		l.lists.Store(0)
		r := w.coder(append(args, "--server", l.URL)...)
		r.waitForExit(cli.ExitAttention)
		if lists, others := l.lists.Load(), l.watches.Load(); lists != 2 || others != 0 {
			t.Errorf("%s: %d requests and %d watches, want 2 requests", name, lists, others)
		}
		if name == "everywhere" {
			compareGolden(t, "status-fleet", r.out.String())
		}
		if lines := strings.Count(r.out.String(), "s-4"); (name == "one by one") != (lines > 0) && name != "as JSON" {
			t.Errorf("%s: sessions that are well are in %d lines", name, lines)
		}
	}
}

// BenchmarkStatus measures how long the API server takes for the requests of a status, as the
// plugin sees it, and how long the command takes in total.
func BenchmarkStatus(b *testing.B) {
	w := newFleet(b)
	l := newLink(w)
	for b.Loop() {
		environment := cli.Environment{Out: io.Discard, Err: io.Discard, Clock: newClock(), Version: "v0.0.0-test"}
		arguments := []string{"--kubeconfig", w.cluster.Kubeconfig, "--server", l.URL, "status", "-A"}
		if code := cli.Execute(context.Background(), environment, arguments); code != cli.ExitAttention {
			b.Fatalf("exit code is %d", code)
		}
	}
	b.ReportMetric(float64(l.lists.Load())/float64(b.N), "requests/op")
	b.ReportMetric(float64(l.took.Load())/float64(b.N)/1e6, "API-ms/op")
}

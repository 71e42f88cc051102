// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// waitForPicture waits until the last output contains a text, while the clock advances.
func (r *run) waitForPicture(text string) {
	r.t.Helper()
	r.waitUntil("it shows "+text, func() bool {
		r.clock.Step(time.Second)
		pictures := strings.Split(strings.TrimSuffix(r.out.String(), "\n\n"), "\n\n\n")
		return strings.Contains(pictures[len(pictures)-1], text)
	})
}

func TestStatusIsShownAgainWhenSomethingChanges(t *testing.T) {
	w := newPluginEnv(t)
	prod := newDeployment(w.namespace, "prod")
	w.createObjects(prod, mintedSession(w.namespace, "ci", "", "prod"))
	r := w.coder("status", "--watch")
	r.waitForPicture("└─ 1 session Ready")
	w.reportStatus("ci", notReady(v1alpha1.ReasonSuspended, "refused"))
	r.waitForPicture("/ci  Suspended")
	w.createObjects(mintedSession(w.namespace, "web", "", "prod"))
	r.waitForPicture("└─ 1 session Ready")
	session := &v1alpha1.CoderSession{}
	session.Namespace, session.Name = w.namespace, "ci"
	if err := w.cluster.Client.Delete(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	r.waitForPicture("; 1 session: 1 Ready")
	if err := w.cluster.Client.Delete(t.Context(), prod); err != nil {
		t.Fatal(err)
	}
	r.waitForPicture("/prod  Missing")
	r.interrupt()
	r.waitForExit(cli.ExitInterrupted)
	if strings.Contains(r.out.String(), "\x1b") {
		t.Error("what is no terminal was cleared")
	}
}

// Nothing is written when only time passes, or when a change is not visible in the output.
func TestStatusIsNotShownAgainWhileNothingChanges(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"), mintedSession(w.namespace, "ci", "", "prod"))
	l := newLink(w)
	r := w.coder("status", "--watch", "--server", l.URL)
	r.waitUntil("it watches", func() bool { return l.watches.Load() == 2 })
	w.changeSession("ci", false, func(s *v1alpha1.CoderSession) { s.Labels = map[string]string{"team": "a"} })
	w.reportStatus("ci", withReady)
	r.clock.Step(10 * time.Second)
	w.changeSession("ci", false, func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	r.waitForPicture("NotSeen")
	if pictures := strings.Count(r.out.String(), "/prod  Ready"); pictures != 2 {
		t.Errorf("%d pictures, want 2", pictures)
	}
	if lists := l.lists.Load(); lists != 4 { // two lists, and one before each watch
		t.Errorf("%d lists, want 4", lists)
	}
}

func TestATerminalIsClearedAndKeptUpToDate(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"))
	r := w.coderOn(func(e *cli.Environment) { e.Terminal = true }, "status", "--watch")
	r.waitForText(r.out, "\x1b[H\x1b[2J"+w.namespace+"/prod")
	r.waitUntil("time goes by", func() bool {
		r.clock.Step(10 * time.Second)
		return strings.Contains(r.out.String(), "verified 5m")
	})
}

func TestWatchingGoesOnAfterTheAPIServerWasAway(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"), mintedSession(w.namespace, "ci", "", "prod"))
	l := newLink(w)
	r := w.coder("status", "--watch", "--server", l.URL)
	r.waitUntil("it watches", func() bool { return l.watches.Load() == 2 })
	l.cutConnections(http.StatusServiceUnavailable)
	r.waitUntil("it says so", func() bool {
		r.clock.Step(time.Second)
		return strings.Contains(r.err.String(), "trying again")
	})
	if err := w.cluster.Client.DeleteAllOf(
		t.Context(), &v1alpha1.CoderSession{}, client.InNamespace(w.namespace)); err != nil {
		t.Fatal(err)
	}
	l.refusal.Store(0)
	r.waitForPicture("no sessions")
	l.cutConnections(http.StatusForbidden)
	r.waitUntil("it gives up", func() bool {
		r.clock.Step(time.Second)
		return strings.Contains(r.err.String(), "error: ")
	})
	r.waitForExit(cli.ExitIncomplete)
}

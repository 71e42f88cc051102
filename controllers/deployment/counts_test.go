// SPDX-License-Identifier: Apache-2.0

package deployment_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// B161: sessions that are created one after the other for twenty seconds cause a write of the counters within a
// second, and then one in five seconds. The pass after the last one counts all of them, and none follows. After a
// quiet time the first one is counted at once again.
func TestTheCountersOfSessions(t *testing.T) {
	t.Parallel()
	w := stepped.New(t)
	w.PassDeployment()
	w.Clock.Step(10 * time.Second)
	write := stepped.Request{Verb: stepped.PatchStatus, Kind: "CoderDeployment", Name: testenv.DeploymentName}
	w.Requests()
	for i := range 20 {
		w.Put(w.NewSuppliedSession(fmt.Sprint("ci-", i), "token"))
		w.PassDeployment()
		if want := i/5 + 1; w.CountRequests(write) != want {
			t.Errorf("%d s after the first session the counters were written %d times, want %d", i,
				w.CountRequests(write), want)
		}
		w.Clock.Step(time.Second)
	}
	for _, pause := range []time.Duration{0, time.Minute} {
		w.Clock.Step(pause)
		w.Requests()
		w.PassDeployment()
		if total := deploymentOf(w).Status.Sessions.Total; total != 20 {
			t.Errorf("%d sessions are counted, want 20", total)
		}
		if writes := w.CountRequests(write); (writes == 1) != (pause == 0) {
			t.Errorf("after another %s the counters were written %d times", pause, writes)
		}
	}
	w.Put(w.NewSuppliedSession("later", "token"))
	if w.PassDeployment(); w.CountRequests(write) != 1 {
		t.Errorf("after a quiet time the counters were written %d times", w.CountRequests(write))
	}
}

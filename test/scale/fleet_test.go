// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const (
	// sound deployments, each with a server of its own that answers at once.
	sound = 3
	// eachDeployment is how many sessions each deployment has.
	eachDeployment = 100
	// slowness is what a slow server takes for each answer.
	slowness = 2 * time.Second
	// rounds of each of the two fleets, in turn.
	rounds = 3
)

// BenchmarkFleet measures what one server that is dead and one that is slow cost the
// sessions of the others (B20): the time until 300 sessions of three sound servers
// are ready, while 100 sessions of the dead one and 100 of the slow one are worked
// on, divided by the same time without those two. The two are measured in turn, so
// that what else the machine does weighs on both.
func BenchmarkFleet(b *testing.B) {
	f := newFigures(b)
	for b.Loop() {
		for range rounds {
			f.addSample("s-without-them", readyFleet(b, false).Seconds())
			f.addSample("s-with-a-dead-and-a-slow-server", readyFleet(b, true).Seconds())
		}
	}
	f.addSample("x-time-without-them", f.medianOf("s-with-a-dead-and-a-slow-server")/f.medianOf("s-without-them"))
	f.reportAll()
}

// readyFleet returns how long it takes until the sessions of all sound servers are
// ready.
func readyFleet(b *testing.B, disturbed bool) time.Duration {
	b.Helper()
	w := newEnv(b)
	defer w.closeAll()
	fleet := w.startFleet()
	w.startOperator()
	names := slices.Sorted(maps.Keys(fleet))
	for _, name := range names {
		w.awaitVerified(name)
	}
	if disturbed {
		w.createDisturbingDeployments()
	}
	took := w.mintedOn(names...)
	for _, server := range fleet {
		if live := len(server.Keys(coderd.KeyFilter{NamePrefix: "cso-", Live: true})); live != eachDeployment {
			b.Fatalf("%d tokens live on a server, want %d", live, eachDeployment)
		}
	}
	return took
}

// startFleet starts the sound servers, and makes a deployment for each: they are
// returned by its name.
func (w *scaleEnv) startFleet() map[string]*coderd.Server {
	w.T.Helper()
	fleet := map[string]*coderd.Server{}
	for i := range sound {
		name := fmt.Sprintf("sound-%d", i)
		server, listener := w.newCoder(w.listener.Edge())
		w.T.Cleanup(func() { _ = listener.Close() })
		fleet[name] = server
		w.putObject(w.newSecret("token-of-"+name, map[string]string{"token": w.ownTokenOf(server)}))
		w.putObject(w.newDeployment(name, listener.URL(), v1alpha1.ObjectName("token-of-"+name),
			v1alpha1.VerifyPolicy{Interval: never}))
	}
	return fleet
}

// createDisturbingDeployments makes a deployment whose server is dead and one whose server is slow,
// each with sessions that want a token.
func (w *scaleEnv) createDisturbingDeployments() {
	w.T.Helper()
	// The worst of the dead: connections are accepted, and there is never an answer.
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	w.Must(err)
	w.T.Cleanup(func() { _ = hole.Close() })
	w.putObject(w.newDeployment("dead", "https://"+hole.Addr().String(), "token", v1alpha1.VerifyPolicy{Interval: never}))
	w.putObject(w.newDeployment("slow", w.listener.URL(), "token", v1alpha1.VerifyPolicy{Interval: never}))
	w.awaitVerified("slow")
	w.Coder.Inject(coderd.Fault{Kind: coderd.FaultLatency, Latency: slowness})
	w.Eventually(w.DeploymentIs("dead", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnreachable, ""))
	w.Must(w.createOn("dead", "slow"))
}

// createOn creates the sessions of some deployments, mixed.
func (w *scaleEnv) createOn(deployments ...string) error {
	return inParallel(eachDeployment*len(deployments), func(i int) error {
		deployment := deployments[i%len(deployments)]
		s := w.NewSession(fmt.Sprintf("%s-%03d", deployment, i/len(deployments)),
			v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: bot(i)}})
		s.Spec.DeploymentRef.Name = v1alpha1.ObjectName(deployment)
		return w.watcher.Create(w.T.Context(), s)
	})
}

// mintedOn creates the sessions of some deployments and returns how long it took
// until all of them were ready.
func (w *scaleEnv) mintedOn(deployments ...string) time.Duration {
	w.T.Helper()
	wanted := map[v1alpha1.ObjectName]bool{}
	for _, name := range deployments {
		wanted[v1alpha1.ObjectName(name)] = true
	}
	n := eachDeployment * len(deployments)
	started := time.Now()
	created := make(chan error, 1)
	go func() { created <- w.createOn(deployments...) }()
	ready := map[string]bool{}
	w.followSessions(fmt.Sprintf("%d sessions of sound servers are ready", n), func(s *v1alpha1.CoderSession) bool {
		if wanted[s.Spec.DeploymentRef.Name] && isReady(s) {
			ready[s.Name] = true
		}
		return len(ready) == n
	})
	took := time.Since(started)
	w.Must(<-created)
	return took
}

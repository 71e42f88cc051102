// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const (
	// shards are the values of the label "shard", each with a deployment of its own.
	shards = 4
	// eachShard is how many sessions each of them has.
	eachShard = 100
)

// BenchmarkShards measures how long it takes until 400 sessions of four shards are ready, by one, two and
// four managers in turn, and what these take in memory. Then the managers give way to one that watches all
// shards, as when they are merged: no token is minted, and what that asks the Coder server is counted.
func BenchmarkShards(b *testing.B) {
	f := newFigures(b)
	for b.Loop() {
		for _, managers := range []int{1, 2, 4} {
			measureShards(b, f, managers)
		}
	}
	for _, managers := range []int{2, 4} {
		f.addSample(fmt.Sprintf("x-time-of-one-by-%d", managers),
			f.medianOf(secondsBy(managers))/f.medianOf(secondsBy(1)))
	}
	f.reportAll()
}

// secondsBy is the figure of the time that this many managers take.
func secondsBy(managers int) string { return fmt.Sprintf("s-by-%d", managers) }

func measureShards(b *testing.B, f *figures, managers int) {
	b.Helper()
	w := newEnv(b)
	defer w.closeAll()
	all := w.startShards(managers)
	for i := range shards {
		d := w.newDeployment(fmt.Sprintf("prod-%d", i), w.listener.URL(), "token", v1alpha1.VerifyPolicy{Interval: never})
		d.Labels = shardLabel(i)
		w.putObject(d)
		w.awaitVerified(d.Name)
	}
	f.addSample(secondsBy(managers), w.mintInShards().Seconds())
	w.awaitSettled()
	w.requireAccepted(shards * eachShard)
	most := 0.0
	for _, o := range all {
		most = max(most, o.memoryMiB("VmHWM"))
		o.stop()
	}
	f.addSample(fmt.Sprintf("peak-MiB-each-of-%d", managers), most)

	w.Coder.ResetLog()
	w.operator = startOperator(b, w.user.Kubeconfig, "--watch-label-selector=shard")
	for i := range shards {
		w.awaitVerified(fmt.Sprintf("prod-%d", i))
	}
	w.awaitSettled()
	w.requireAccepted(shards * eachShard)
	calls := w.coderCalls()
	if mints := calls["POST /api/v2/users/{user}/keys/tokens"]; mints > 0 {
		b.Fatalf("%d tokens were minted after %d managers had given way to another one", mints, managers)
	}
	f.addSample(fmt.Sprintf("Coder-calls-after-%d", managers), float64(sumOf(calls)))
}

func shardLabel(i int) map[string]string { return map[string]string{"shard": fmt.Sprint(i)} }

// startShards starts this many managers for all shards.
func (w *scaleEnv) startShards(managers int) []*operator {
	w.T.Helper()
	var all []*operator
	for m := range managers {
		var values []string
		for i := m; i < shards; i += managers {
			values = append(values, fmt.Sprint(i))
		}
		all = append(all, startOperator(w.T, w.user.Kubeconfig,
			"--watch-label-selector=shard in ("+strings.Join(values, ",")+")"))
	}
	w.operator = all[0] // the one whose log a failure shows
	return all
}

// mintInShards creates the sessions of all shards, mixed, and returns how long it took until all were ready.
func (w *scaleEnv) mintInShards() time.Duration {
	w.T.Helper()
	const n = shards * eachShard
	started := time.Now()
	created := make(chan error, 1)
	go func() {
		created <- inParallel(n, func(i int) error {
			s := w.NewMintedSession(fmt.Sprintf("session-%04d", i), bot(i))
			s.Labels, s.Spec.DeploymentRef.Name = shardLabel(i%shards), v1alpha1.ObjectName(fmt.Sprintf("prod-%d", i%shards))
			return w.watcher.Create(w.T.Context(), s)
		})
	}()
	ready := map[string]bool{}
	w.followSessions(fmt.Sprintf("%d sessions are ready", n), func(s *v1alpha1.CoderSession) bool {
		if isReady(s) {
			ready[s.Name] = true
		}
		return len(ready) == n
	})
	took := time.Since(started)
	w.Must(<-created)
	return took
}

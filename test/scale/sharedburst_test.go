// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"time"
)

const (
	// sharedWrites are how often the client certificate of all deployments is written, in sharedTime.
	sharedWrites = 10
	sharedTime   = 2 * time.Second
)

// measureSharedBurst writes the client certificate of all deployments several times in a row, a good one each
// time, and counts the verifications. Nothing is written to sessions and their Secrets.
func (w *scaleEnv) measureSharedBurst(f *figures, n int) {
	w.T.Helper()
	before := w.calls.countCalls(w.T)
	w.measureStep(f, "burst", n, func() {
		longest, last := time.Duration(0), time.Now()
		for range sharedWrites {
			w.putObject(w.newSecret("mtls", w.issueClientPair(w.Clients)))
			longest, last = max(longest, time.Since(last)), time.Now()
			waitIdle(sharedTime / sharedWrites)
		}
		f.addSample("burst-longest-pause-ms", longest.Seconds()*1000)
	})
	f.addSample("verifications/deployment/burst", float64(w.Coder.Count("GET", "/api/v2/buildinfo"))/largeDeployments)
	w.requireUnwritten(callsSince(before, w.calls.countCalls(w.T)))
	w.requireLargeSound(n)
}

// requireUnwritten checks that the operator has written no session, no Secret and no token.
func (w *scaleEnv) requireUnwritten(calls map[string]int) {
	w.T.Helper()
	writes := filterCalls(calls, func(call string) bool { return isWrite(call) && isOfSession(call) })
	if sumOf(writes) > 0 || w.CountMints() > 0 {
		w.T.Errorf("%d tokens were minted, and sessions written, although none has changed: %v", w.CountMints(), writes)
	}
}

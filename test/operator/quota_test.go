// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// triesOfMinute is how often an action that fails is tried in the first minute: at the start, and
// 1, 3, 7, 15 and 31 s later.
const triesOfMinute = 6

// B110, B111: a namespace whose quota of Secrets is used up. The session says so at once, and
// nothing is minted.
func TestAQuotaThatIsUsedUp(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	// The interval limits the backoff, so that the tries of the first minute take some seconds.
	w.Create(w.newDeployment("prod", withInterval("1s")))
	w.Eventually(w.IsVerified("prod"))
	raise := w.useUpQuota()
	before := w.calls.allCalls()
	w.Create(w.NewMintedSession("ci", "ci-bot"))
	w.within(2*time.Second, w.IsNotReady("ci", v1alpha1.ReasonAPIServerRefused, "exceeded quota: few"))
	w.Eventually(w.hasCalled("POST secrets", before, triesOfMinute), w.hasWarnings(1))
	if got := w.CountMints(); got > 0 {
		t.Errorf("%d tokens were minted", got)
	}
	w.Eventually(w.hasLiveTokens(0), w.hasWarnings(1), w.IsNotReady("ci", v1alpha1.ReasonAPIServerRefused, ""))
	raise()
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1), w.hasWarnings(1))
}

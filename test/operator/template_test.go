// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// withTemplate adds a template to the Secret.
func withTemplate(text string) testenv.SessionChange {
	return func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"made": text}}
	}
}

// refusesTokens is a template that can be rendered with the token of a test rendering, and with no
// real one.
const refusesTokens = `{{ if ne (slice .Token 0 10) "0000000000" }}{{ .Nothing }}{{ end }}`

// B133: sessions whose templates fail with the real token only are published like any others, with an empty
// key: no token is minted for nothing, and nothing is tried again.
func TestTemplatesThatFailWithTheRealTokenOnly(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	w.Eventually(w.IsVerified("prod"))
	// More than there are workers.
	const failing = 17
	var ready []wait.Check
	for i := range failing {
		name := fmt.Sprintf("failing-%02d", i)
		w.Create(w.NewMintedSession(name, "ci-bot", withTemplate(refusesTokens)))
		ready = append(ready, w.IsReady(name))
	}
	w.Eventually(append(ready, w.hasLiveTokens(failing))...)
	if made, found := w.CurrentSecret("failing-00").Data["made"]; !found || len(made) > 0 {
		t.Errorf("the key of the template has %d bytes, found: %t", len(made), found)
	}
	if mints := w.CountMints(); mints != failing {
		t.Errorf("%d tokens were minted for %d sessions", mints, failing)
	}
	const watched = 3 * time.Second
	before := w.calls.allCalls()
	w.Throughout(watched, append(ready, w.hasLiveTokens(failing))...)
	if got := w.calls.callsSince(before)["GET secrets"]; got > failing {
		t.Errorf("%d Secrets were read in %s although nothing has changed", got, watched)
	}
}

// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
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

// B144: sessions whose templates fail with the real token only back off, however often their
// deployment wakes them, and the deployment's other sessions do not wait for them.
func TestFailingTemplatesBackOff(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	w.Eventually(w.IsVerified("prod"))
	// More than there are workers.
	const failing = 17
	var failed []wait.Check
	for i := range failing {
		name := fmt.Sprintf("failing-%02d", i)
		w.Create(w.NewMintedSession(name, "ci-bot", withTemplate(refusesTokens)))
		failed = append(failed, w.IsNotReady(name, v1alpha1.ReasonConfigInvalid, `template "made"`))
	}
	w.Eventually(append(failed, w.hasLiveTokens(0))...)

	const sound, watched = 5, 5 * time.Second
	var ready []wait.Check
	before, mints := w.calls.allCalls(), w.CountMints()
	start := time.Now()
	for i := range sound {
		name := fmt.Sprintf("sound-%d", i)
		w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) {
			d.Spec.Verify.MaxDelay = v1alpha1.Duration(fmt.Sprintf("%ds", 3+i))
		})
		w.Create(w.NewMintedSession(name, "ci-bot"))
		ready = append(ready, w.IsReady(name))
	}
	w.within(watched, ready...)
	w.Throughout(watched-time.Since(start), func(ctx context.Context) error {
		if got, limit := w.CountMints()-mints-sound, int(watched/time.Second); got > limit {
			return fmt.Errorf("%d more tokens were minted for templates that fail, want at most one a second", got)
		}
		return nil
	})
	w.Eventually(append(append(failed, ready...), w.hasLiveTokens(sound))...)
	// The deployment reads three Secrets after each edit.
	if got, limit := w.calls.callsSince(before)["GET secrets"], 3*sound+int(watched/time.Second); got > limit {
		t.Errorf("%d Secrets were read, want at most %d", got, limit)
	}
}

// SPDX-License-Identifier: Apache-2.0

package mint_test

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// failsWithARealToken is a template that can be rendered with the token of a test rendering, and with no
// real one.
const failsWithARealToken = `{{ if ne (slice .Token 0 10) "0000000000" }}{{ .Nothing }}{{ end }}`

// B144: for templates that fail only with a real token, one token is minted in vain for each session,
// however often it is woken, until something has changed. Nothing is written meanwhile.
func TestOneTokenIsMintedInVainForATemplate(t *testing.T) {
	t.Parallel()
	const count = 17
	w := stepped.New(t)
	var names []string
	for i := range count {
		name := fmt.Sprint("failing-", i)
		names = append(names, name)
		w.Put(w.NewMintedSession(name, testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
			spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"made": failsWithARealToken}}
		}))
	}
	passes := func(times int) {
		for range times {
			w.PassDeployment()
			for _, name := range names {
				w.Pass(name)
			}
			w.Clock.Step(time.Minute)
		}
	}
	w.Coder.ResetLog()
	passes(1)
	w.Requests()
	passes(15)
	if got := w.CountMints(); got != count {
		t.Errorf("%d tokens were minted, want %d", got, count)
	}
	for _, r := range w.Requests() {
		if r.Kind != "CoderDeployment" {
			t.Errorf("request %+v", r)
		}
	}
	for _, name := range names {
		ready := meta.FindStatusCondition(w.Session(name).Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Reason != v1alpha1.ReasonConfigInvalid || len(w.LiveTokens("")) != 1 { // the operator's
			t.Fatalf("session %s is %+v", name, w.Session(name).Status)
		}
	}
	w.EditSession(names[0], func(s *v1alpha1.CoderSession) { s.Spec.Secret.Template["made"] += " " })
	passes(3)
	if got := w.CountMints(); got != count+1 {
		t.Errorf("%d tokens were minted after a template was changed, want %d", got, count+1)
	}
	w.EditSession(names[0], func(s *v1alpha1.CoderSession) { s.Spec.Secret.Template["made"] = "sound" })
	passes(3)
	if !meta.IsStatusConditionTrue(w.Session(names[0]).Status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("a session with a sound template is %+v", w.Session(names[0]).Status)
	}
}

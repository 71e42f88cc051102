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

// B133, B144: sessions whose templates fail only with a real token are Ready with an empty key: one token is
// minted for each, and nothing is written after that.
func TestNoTokenIsMintedInVainForATemplate(t *testing.T) {
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
		if !meta.IsStatusConditionTrue(w.Session(name).Status.Conditions, v1alpha1.ConditionReady) {
			t.Errorf("session %s is %+v", name, w.Session(name).Status)
		}
	}
	w.EditSession(names[0], func(s *v1alpha1.CoderSession) { s.Spec.Secret.Template["made"] += " " })
	passes(3)
	if got := w.CountMints(); got != count {
		t.Errorf("%d tokens were minted after a template was changed, want %d", got, count)
	}
}

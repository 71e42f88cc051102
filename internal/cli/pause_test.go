// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

func TestPauseAndResumeSetTheSpec(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(mintedSession(w.namespace, "ci", "", "prod"))
	for _, step := range []struct {
		command, says string
		paused        bool
	}{
		{"resume", "Session " + w.namespace + "/ci is not paused already\n", false},
		{"pause", "Session " + w.namespace + "/ci is paused\n", true},
		{"pause", "Session " + w.namespace + "/ci is paused already\n", true},
		{"resume", "Session " + w.namespace + "/ci is not paused\n", false},
	} {
		r := w.coder(step.command, "ci")
		r.waitForExit(cli.ExitOK)
		if r.out.String() != step.says {
			t.Errorf("%s says %q, want %q", step.command, r.out, step.says)
		}
		s := &v1alpha1.CoderSession{}
		if err := w.cluster.Client.Get(
			t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "ci"}, s); err != nil {
			t.Fatal(err)
		}
		if s.Spec.Paused != step.paused {
			t.Errorf("after %s spec.paused is %t", step.command, s.Spec.Paused)
		}
	}
}

func TestPauseOfWhatDoesNotExist(t *testing.T) {
	w := newPluginEnv(t)
	r := w.coder("pause", "nope")
	r.waitForExit(cli.ExitUnreachable)
	r.waitForText(r.err, `session "nope" does not exist in namespace "`+w.namespace+`"`)
	r = w.coder("resume")
	r.waitForExit(cli.ExitFailed)
	r.waitForText(r.err, "name one session: kubectl coder resume SESSION")
}

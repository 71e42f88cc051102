// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B155: a pod does not get the session of another one by its name.
func TestCheckSession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		known   Resolved
		unknown UnknownSession
		warns   string
		refused string
	}{
		"as it should be": {known: resolvedPlain()},
		"that of another pod": {known: Resolved{newSession(func(s *v1alpha1.CoderSession) {
			s.Labels = map[string]string{v1alpha1.LabelParent: "each"}
		}), newDeployment(), false}, unknown: AdmitUnknown, refused: `is that of another pod: write the name of "each"`},
		"unknown": {unknown: RefuseUnknown,
			refused: `no CoderSession "ci" in namespace "builds": create it, or`},
		"unknown, admitted": {unknown: AdmitUnknown,
			warns: `no CoderSession "ci" in namespace "builds": the pod waits for a Secret "ci"`},
		"deleted": {known: Resolved{newSession(withDeletion), newDeployment(), false}, unknown: RefuseUnknown,
			refused: "is being deleted, and its token revoked: create it again, or"},
		"deleted, admitted": {known: Resolved{newSession(withDeletion), newDeployment(), false}, unknown: AdmitUnknown,
			warns: "is being deleted"},
		"no deployment": {known: Resolved{Session: newSession()}, unknown: RefuseUnknown,
			warns: `no CoderDeployment "prod" in namespace "coder"`},
		"about to be ready": {known: Resolved{newSession(notReady(v1alpha1.ReasonVerifying)), newDeployment(), false},
			unknown: RefuseUnknown},
		"waiting for a person": {known: Resolved{newSession(notReady(v1alpha1.ReasonAwaitingAuthorization)),
			newDeployment(), false}, unknown: RefuseUnknown, warns: "not Ready (AwaitingAuthorization)"},
		"another owner's": {known: Resolved{newSession(notReady(v1alpha1.ReasonSecretConflict)), newDeployment(), false},
			unknown: RefuseUnknown, warns: "not Ready (SecretConflict)"},
		"a Secret of another owner": {known: Resolved{newSession(withSecret(v1alpha1.GeneratedSecret{Name: "db"})),
			newDeployment(), true}, unknown: AdmitUnknown,
			refused: `Secret "db" in namespace "builds" does not belong to CoderSession "ci": delete it, or`},
		"nothing is known yet": {known: Resolved{newSession(func(s *v1alpha1.CoderSession) { s.Status.Conditions = nil }),
			newDeployment(), false}, unknown: RefuseUnknown},
		"paused by its team": {known: Resolved{newSession(notReady(v1alpha1.ReasonPaused)), newDeployment(), false},
			unknown: RefuseUnknown, warns: "not Ready (Paused)"},
		"no deployment, either": {known: Resolved{Session: newSession(withDeletion)}, unknown: RefuseUnknown,
			refused: "is being deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			warnings, err := checkSession(&Request{Session: "ci"}, c.known, "builds", c.unknown)
			if (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("error %v, want %q", err, c.refused)
			}
			if got := strings.Join(warnings, "\n"); (got != "") != (c.warns != "") || !strings.Contains(got, c.warns) {
				t.Errorf("warnings %q, want %q", warnings, c.warns)
			}
		})
	}
}

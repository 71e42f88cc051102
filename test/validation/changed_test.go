// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	const (
		refused       = "cannot be changed: delete the session and create it again"
		secretRefused = "spec.secret.name: Invalid value: secret.name " + refused
		refRefused    = "spec.deploymentRef: Invalid value: deploymentRef " + refused
		auth          = "auth: {mint: {user: ci-bot}}\n"
	)
	for name, tc := range map[string]struct{ before, after, advice string }{
		"another Secret":         {mint + "secret: {name: a}", mint + "secret: {name: b}", secretRefused},
		"a Secret's name, later": {mint + "secret: {labels: {team: a}}", mint + "secret: {name: b}", secretRefused},
		"a Secret, later":        {mint, mint + "secret: {name: b}", secretRefused},
		"no Secret's name":       {mint + "secret: {name: a}", mint + "secret: {labels: {team: a}}", secretRefused},
		"no Secret":              {mint + "secret: {name: a}", mint, secretRefused},
		"another deployment":     {mint, "deploymentRef: {name: other}\n" + auth, refRefused},
		"another namespace":      {mint, "deploymentRef: {name: prod, namespace: other}\n" + auth, refRefused},

		"a Secret's labels":   {mint + "secret: {name: a}", mint + "secret: {name: a, labels: {team: a}}", ""},
		"labels, later":       {mint, mint + "secret: {labels: {team: a}}", ""},
		"no labels":           {mint + "secret: {labels: {team: a}}", mint, ""},
		"a lifetime":          {mint, ref + "auth: {mint: {user: ci-bot, lifetime: 1h}}", ""},
		"another method":      {mint, ref + "auth: {oauth: {}}", ""},
		"suspended by people": {mint, mint + "paused: true", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := kube.ForTest(t).Namespace(t, nil)
			stored, err := createObject(t, session(tc.before), namespace)
			if err != nil {
				t.Fatal(err)
			}
			stored.Object["spec"] = parseManifest(t, session(tc.after), namespace).Object["spec"]
			err = kube.ForTest(t).Client.Update(t.Context(), stored)
			if tc.advice == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			expectAdvice(t, err, tc.advice)
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package deployment_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// B130: another user of the server has tokens with the operator's names that take more memory than a list may.
// Theirs are left out, which the status says, and those of the others are looked after as before.
func TestManyTokensOfAnotherUser(t *testing.T) {
	w := stepped.New(t)
	w.CreateUsers("mallory")
	w.Put(w.NewMintedSession("ci", testenv.MachineUser))
	w.Settle("ci")
	var allow []string
	for i := range 64 {
		allow = append(allow, fmt.Sprintf("workspace:%08x-0000-4000-8000-000000000000", i))
	}
	create := func(n int, name string) {
		for i := range n {
			_, _, err := w.Coder.CreateToken(coderd.TokenOptions{
				User: "mallory", Name: fmt.Sprintf("%s%d", name, i), Lifetime: 1000 * time.Hour, AllowList: allow,
			})
			w.Must(err)
		}
	}
	create(5000, "cso-testing1-ffffffff-"+strings.Repeat("9", 10))
	orphan := createNamed(w, testenv.MachineUser, names.Token(goneSession, 1))
	w.Restart()
	for range 3 {
		w.Clock.Step(2 * time.Hour)
		w.PassDeployment()
	}
	condition := meta.FindStatusCondition(deploymentOf(w).Status.Conditions, v1alpha1.ConditionTokensListed)
	if condition == nil || condition.Reason != v1alpha1.ReasonTokenListTooLarge ||
		!strings.Contains(condition.Message, "not used of mallory (5000)") {
		t.Errorf("TokensListed is %+v", condition)
	}
	if isListed(w, orphan.ID) {
		t.Error("an orphan of another user lives on")
	}
	if token := w.Session("ci").Status.Token; token == nil || !isListed(w, token.ID) {
		t.Errorf("the session's token is %+v", token)
	}
}

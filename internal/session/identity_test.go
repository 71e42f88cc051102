// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Another operator with the same cluster id mints tokens of the session: they are left alone, the own
// token is kept until its end, and the next one gets a serial of its own.
func TestADuplicateOperator(t *testing.T) {
	t.Parallel()
	foreign := func(o *Observation) {
		o.ServerTokens.Foreign = []Listed{{ID: "t7", Name: "cso-t7", Serial: 7, CreatedAt: o.Now}}
		o.TargetUser = TargetUser{Known: true, User: v1alpha1.SessionUser{ID: "id-bot", Username: "bot"}}
	}
	revoked := func(o *Observation) { o.ServerTokens.Token = nil }
	published := func(age time.Duration, more ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, age), foreign}, more...)...)
	}
	for name, tt := range map[string]struct {
		o    Observation
		want Action
	}{
		"a rotation is due":      {published(20 * time.Hour), Nothing},
		"the token has ended":    {published(24 * time.Hour), Mint},
		"the token was revoked":  {published(0, revoked), Mint},
		"there is none yet":      {newSession("ci", withMint("bot"), withRecordedUser("id-bot", "bot"), foreign), Mint},
		"the session is deleted": {newSession("ci", withMint("bot"), withDeletion(time.Second), foreign), FindLostToken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Decide(tt.o)
			if p.Action != tt.want || p.Action == Mint && p.Mint.Serial != 8 {
				t.Fatalf("%q with serial %d, want %q", p.Action, p.Mint.Serial, tt.want)
			}
			for _, pending := range AllTokens(tt.o) {
				if pending.ID == "t7" {
					t.Error("the other operator's token is to be revoked")
				}
			}
			if tt.want != Nothing {
				return
			}
			unique, ready := p.findCondition(v1alpha1.ConditionIdentityUnique), p.findCondition(v1alpha1.ConditionReady)
			if unique == nil || unique.Status != metav1.ConditionFalse || !strings.Contains(unique.Message, "cso-t7") {
				t.Errorf("IdentityUnique is %+v", unique)
			}
			if ready.Status != metav1.ConditionTrue || !p.RequeueAt.Before(tt.o.Secret.Token.ExpiresAt.Add(time.Second)) {
				t.Errorf("Ready is %+v, the next look at %s", ready, p.RequeueAt)
			}
		})
	}
}

// The condition stays until the server's tokens are known.
func TestIdentityUniqueBeforeTheTokensAreListed(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour))
	for loaded, removed := range map[bool]bool{true: true, false: false} {
		var p Plan
		o.ServerTokens.Loaded = loaded
		if setIdentityUniqueCondition(o, &p); (len(p.ConditionsToRemove) == 1) != removed {
			t.Errorf("tokens listed: %t, removed are %v", loaded, p.ConditionsToRemove)
		}
	}
}

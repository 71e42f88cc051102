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
// token is kept until its end, and the next one gets a serial of its own. That is the first one that is
// free, however high the others are: a user may have chosen them.
func TestADuplicateOperator(t *testing.T) {
	t.Parallel()
	foreign := func(o *Observation) {
		o.ServerTokens.Foreign = []Listed{
			{ID: "t5", Name: "cso-t5", Serial: 5, CreatedAt: o.Now}, {ID: "t7", Name: "cso-t7", Serial: 7, CreatedAt: o.Now},
		}
		o.TargetUser = TargetUser{Known: true, User: v1alpha1.SessionUser{ID: "id-bot", Username: "bot"}}
	}
	revoked := func(o *Observation) { o.ServerTokens.Token = nil }
	published := func(age time.Duration, more ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, age), foreign}, more...)...)
	}
	for name, tt := range map[string]struct {
		o      Observation
		want   Action
		serial int64
	}{
		"a rotation is due":     {published(20 * time.Hour), Nothing, 0},
		"the token has ended":   {published(24 * time.Hour), Mint, 6},
		"the token was revoked": {published(0, revoked), Mint, 6},
		"there is none yet": {
			newSession("ci", withMint("bot"), withRecordedUser("id-bot", "bot"), foreign), Mint, 1,
		},
		"the session is deleted": {
			newSession("ci", withMint("bot"), withDeletion(time.Second), foreign), FindLostToken, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Decide(tt.o)
			if p.Action != tt.want || p.Mint.Serial != tt.serial {
				t.Fatalf("%q with serial %d, want %q with %d", p.Action, p.Mint.Serial, tt.want, tt.serial)
			}
			for _, pending := range AllTokens(tt.o) {
				if pending.ID == "t5" || pending.ID == "t7" {
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

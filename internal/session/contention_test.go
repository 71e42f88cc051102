// SPDX-License-Identifier: Apache-2.0

package session

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B113: a writer who changes the Secret whenever it was restored makes the operator write less and
// less often, at most once in an interval.
func TestRestorationsBackOff(t *testing.T) {
	t.Parallel()
	const interval = 5 * time.Minute
	var c Contention
	var writes []time.Duration
	for now := noon; now.Before(noon.Add(30 * time.Minute)); now = now.Add(100 * time.Millisecond) {
		if !now.Before(c.retryTime(interval)) {
			c = c.Restored(now, "other", interval)
			writes = append(writes, now.Sub(noon))
		}
	}
	early := 0
	for _, at := range writes {
		if at <= 30*time.Second {
			early++
		}
	}
	if early > 6 || len(writes) > 16 {
		t.Errorf("%d writes in 30 s, %d in 30 min: %s", early, len(writes), writes)
	}
	last := noon.Add(writes[len(writes)-1])
	if c.isOver(last.Add(interval), interval) {
		t.Error("it is over before the next restoration would show it")
	}
	quiet := last.Add(2*interval + contentionRest)
	if !c.isOver(quiet, interval) || c.Restored(quiet, "", interval).Count != 1 {
		t.Error("it does not end")
	}
}

func TestAnotherWriterOfTheSecret(t *testing.T) { // B113
	t.Parallel()
	restored := func(count int, ago time.Duration, change func(*Secret)) Observation {
		o := newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour))
		o.Secret.Contention = Contention{Count: count, Time: o.Now.Add(-ago), Writer: "external-secrets"}
		change(&o.Secret)
		return o
	}
	modified := func(s *Secret) { s.InSync, s.Modified = false, true }
	putBack := func(s *Secret) { s.PutBack, s.Token.SpecDigest = true, "another" }
	tests := map[string]struct {
		o      Observation
		action Action
		wake   time.Duration // 0: not compared
		synced string
	}{
		"the first change is put right at once": {
			o: restored(0, 0, modified), action: Publish,
		},
		"the next waits": {
			o: restored(1, 400*time.Millisecond, modified), wake: 600 * time.Millisecond, synced: "SecretModified",
		},
		"the fourth waits longer": {
			o: restored(3, time.Second, modified), wake: 3 * time.Second, synced: "SecretModified",
		},
		"when its time has come": {o: restored(3, 4*time.Second, modified), action: Publish},
		"restored, and likely to be changed again": {
			o: restored(3, time.Second, func(*Secret) {}), wake: 67 * time.Second, synced: "SecretModified",
		},
		"restored once": {o: restored(1, time.Second, func(*Secret) {})},
		"it has ended":  {o: restored(3, 69*time.Second, func(*Secret) {})},
		"a token that is put back": {
			o: func() Observation {
				o := restored(2, time.Second, putBack)
				o.TargetUser = TargetUser{Known: true, User: *o.Session.Status.User}
				return o
			}(), wake: time.Second, synced: "SecretModified",
		},
		"the operator's own change of the Secret": {
			o: restored(3, time.Second, func(s *Secret) { s.InSync = false }), action: Publish,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Decide(tt.o)
			if p.Action != tt.action {
				t.Fatalf("%q, want %q: %+v", p.Action, tt.action, p.Conditions)
			}
			if tt.action != Nothing {
				return
			}
			synced, ready := p.findCondition(v1alpha1.ConditionSecretSynced), p.findCondition(v1alpha1.ConditionReady)
			if (synced != nil) != (tt.synced != "") || synced != nil &&
				(synced.Reason != tt.synced || !strings.Contains(synced.Message, `"external-secrets"`)) {
				t.Errorf("SecretSynced is %+v, want %q", synced, tt.synced)
			}
			if ready == nil || ready.Reason != v1alpha1.ReasonActive {
				t.Errorf("Ready is %+v: the credential did not change", ready)
			}
			if wake := p.RequeueAt.Sub(tt.o.Now); tt.wake != 0 && wake != tt.wake {
				t.Errorf("looks again in %s, want %s", wake, tt.wake)
			}
		})
	}
}

// B113: a Secret that is deleted whenever it was written. The first deletion is made good at once; then
// what mints or writes waits, and the conditions say why.
func TestADeletedSecret(t *testing.T) {
	t.Parallel()
	deleted := func(count int, ago time.Duration, options ...option) Observation {
		o := newSession("ci", options...)
		o.Secret = Secret{Deleted: true, Contention: Contention{Count: count, Time: o.Now.Add(-ago), Deletes: true}}
		return o
	}
	minted := []option{withMint("bot"), withRecordedUser("id-bot", "bot"), lookedUp("id-bot", "bot")}
	supplied := []option{withToken(), checkedAs(value, 0, accepted)}
	for name, tt := range map[string]struct {
		o    Observation
		want Action
	}{
		"the first deletion":                 {deleted(0, 0, minted...), Mint},
		"the next waits":                     {deleted(1, 400*time.Millisecond, minted...), Nothing},
		"when its time has come":             {deleted(3, 4*time.Second, minted...), Mint},
		"the first one of a supplied token":  {deleted(0, 0, supplied...), Publish},
		"the next one of a supplied token":   {deleted(2, time.Second, supplied...), Nothing},
		"a supplied one whose time has come": {deleted(2, 2*time.Second, supplied...), Publish},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Decide(tt.o)
			if p.Action != tt.want {
				t.Fatalf("%q, want %q: %+v", p.Action, tt.want, p.Conditions)
			}
			if tt.want != Nothing {
				return
			}
			for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionSecretSynced} {
				c := p.findCondition(kind)
				if c == nil || c.Reason != v1alpha1.ReasonSecretModified || !strings.Contains(c.Message, `deletes Secret "ci"`) {
					t.Errorf("%s is %+v", kind, c)
				}
			}
		})
	}
}

// B116: a token whose annotations were lost, or written with another key, costs one look at it.
func TestATokenIsRecognizedByItsValue(t *testing.T) {
	t.Parallel()
	unconfirmed := newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour))
	unconfirmed.Secret.InSync, unconfirmed.Secret.Unconfirmed = false, true
	if p := Decide(unconfirmed); p.Action != CheckCredential {
		t.Fatalf("it is not checked: %+v", p)
	}
	checked := func(change func(*CredentialCheck)) Observation {
		o := unconfirmed
		o.CredentialCheck = CredentialCheck{
			Time: o.Now, Credential: o.Secret.Token.Fingerprint, Settings: o.Deployment.Fingerprint, Result: accepted,
		}
		change(&o.CredentialCheck)
		return o
	}
	for name, tt := range map[string]struct {
		change func(*CredentialCheck)
		want   Action
	}{
		"accepted": {func(*CredentialCheck) {}, Publish},
		"of its user": {func(c *CredentialCheck) {
			c.User = &v1alpha1.SessionUser{ID: unconfirmed.Session.Status.User.ID}
		}, Publish},
		"of another user":   {func(c *CredentialCheck) { c.User = &v1alpha1.SessionUser{ID: "other"} }, LookUpUser},
		"refused":           {func(c *CredentialCheck) { c.Result = refused }, LookUpUser},
		"no answer":         {func(c *CredentialCheck) { c.Result = unreachable }, Nothing},
		"another was asked": {func(c *CredentialCheck) { c.Credential = "another" }, CheckCredential},
	} {
		if p := Decide(checked(tt.change)); p.Action != tt.want {
			t.Errorf("%s: %q, want %q", name, p.Action, tt.want)
		}
	}
}

// B40, B113: a token that the Secret holds and that nothing describes is not revoked, and its name is
// taken: the next one gets another serial.
func TestAHeldTokenThatNothingDescribes(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour), alsoListed("t5", 5))
	o.Secret.Token, o.Secret.InSync, o.Secret.HeldID = nil, false, "t5"
	o.TargetUser = TargetUser{Known: true, User: *o.Session.Status.User}
	p := Decide(o)
	if p.Action != Mint || p.Mint.Serial != 6 {
		t.Errorf("%q with serial %d, want a mint with serial 6", p.Action, p.Mint.Serial)
	}
	for _, pending := range pendingRevocations(o, false) {
		if pending.ID == "t5" {
			t.Errorf("it is to be revoked: %+v", pending)
		}
	}
}

// B40: a name that turned out to be taken by a token that may be in use is not asked for again, although
// nothing else tells of that token, for example because it has expired.
func TestATakenSerialIsSkipped(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withMint("bot"), lookedUp("id-bot", "bot"))
	o.TakenSerial = 7
	if p := Decide(o); p.Action != Mint || p.Mint.Serial != 8 {
		t.Errorf("%q with serial %d, want a mint with serial 8", p.Action, p.Mint.Serial)
	}
}

// B25, B142: neither another writer of the Secret nor a user who chooses the names of tokens makes the serials
// run out.
func TestTheSerialAfterTheHighest(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withMint("bot"), withPublishedToken("t4", v1alpha1.MaxSerial, time.Hour),
		withPendingRevocation("cso-cluster1-12345678-1", time.Minute))
	o.ServerTokens.Foreign = []Listed{{ID: "t2", Serial: 2}, {ID: "t9", Serial: math.MaxInt64}}
	if got := o.nextSerial(); got != 3 {
		t.Errorf("the next serial is %d, want 3", got)
	}
}

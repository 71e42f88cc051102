// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

func TestDecideMint(t *testing.T) {
	t.Parallel()
	steady := []option{withMint("bot"), withPublishedToken("t4", 4, time.Hour)}
	with := func(options ...option) Observation {
		return newSession("ci", append(append([]option{}, steady...), options...)...)
	}
	checkRows(t, map[string]row{
		"first: who is the user?": {newSession("ci", withMint("bot")), outcome{Do: LookUpUser}},
		"first: the finalizer comes before the token": {
			newSession("ci", withMint("bot"), lookedUp("u", "bot"), noFinalizer), outcome{Do: AddFinalizer},
		},
		"first: mint serial 1": {
			newSession("ci", withMint("bot"), lookedUp("u", "bot")), outcome{
				Do: Mint, Serial: 1, Lifetime: 24 * time.Hour,
			},
		},
		"B49 the lifetime is cut to the server's maximum": {
			newSession(
				"ci", withMint("bot"), lookedUp("u", "bot"),
				func(o *Observation) { o.TargetUser.MaxLifetime = 8 * time.Hour },
			),
			outcome{Do: Mint, Serial: 1, Lifetime: 8 * time.Hour},
		},
		"a maximum above the lifetime changes nothing": {
			newSession(
				"ci", withMint("bot"), lookedUp("u", "bot"),
				func(o *Observation) { o.TargetUser.MaxLifetime = 90 * time.Hour },
			),
			outcome{Do: Mint, Serial: 1, Lifetime: 24 * time.Hour},
		},
		"B49 a cut lifetime is a condition": {
			with(
				func(o *Observation) { o.ServerTokens.Token.CreatedAt = o.Secret.Token.ExpiresAt.Add(-6 * time.Hour) },
			),
			outcome{
				Ready: "True Active", Authenticated: "absent", Synced: "absent", Cut: "True ServerMaximum",
				Wake: 21 * time.Hour,
			},
		},
		"B54 all is current: nothing happens until a third of the lifetime is left": {
			with(), activeOutcome(15 * time.Hour),
		},
		"B54 after a restart, before the first list": {
			with(func(o *Observation) { o.ServerTokens = ServerTokens{} }), activeOutcome(15 * time.Hour),
		},
		"B53 the server's clock decides about the end": {
			with(func(o *Observation) { o.Skew = 3 * time.Minute }), activeOutcome(15*time.Hour - 3*time.Minute),
		},
		"B53 a server that is ahead sees the end sooner": {
			with(func(o *Observation) { o.Skew = 15 * time.Hour }), outcome{Do: LookUpUser},
		},
		"rotation is due": {
			newSession("ci", withMint("bot"), withPublishedToken("t4", 4, 16*time.Hour)), outcome{Do: LookUpUser},
		},
		"rotation mints the next serial": {
			newSession("ci", withMint("bot"), withPublishedToken("t4", 4, 16*time.Hour), lookedUp("id-bot", "bot")),
			outcome{Do: Mint, Serial: 5, Lifetime: 24 * time.Hour},
		},
		"a second before rotation is due": {
			newSession("ci", withMint("bot"), withPublishedToken("t4", 4, 16*time.Hour-time.Second)), activeOutcome(time.Second),
		},
		"renewBefore decides when": {with(withRotation("1h", "5m")), activeOutcome(22 * time.Hour)},
		"a renewBefore that leaves nothing of the lifetime is a third of it": {
			with(withRotation("23h59m", "5m")), activeOutcome(15 * time.Hour),
		},
		"a token without an end is never rotated": {
			with(func(o *Observation) { o.Secret.Token.ExpiresAt = time.Time{} }), activeOutcome(0),
		},
		"B44 revoked on the server: mint again": {
			with(func(o *Observation) { o.ServerTokens.Token = nil }, lookedUp("id-bot", "bot")),
			outcome{Do: Mint, Serial: 5, Lifetime: 24 * time.Hour},
		},
		"an absent token means nothing before there is a list": {
			with(func(o *Observation) { o.ServerTokens = ServerTokens{} }), activeOutcome(15 * time.Hour),
		},
		"another lifetime is another token": {with(withLifetime("12h")), outcome{Do: LookUpUser}},
		"B24 an edited Secret is restored with the token that it has": {
			with(withSecret(func(s *Secret) { s.InSync = false })), outcome{Do: Publish},
		},
		"B24 a value that is gone needs a new token": {
			with(withSecret(func(s *Secret) { s.InSync, s.ValueGone = false, true }), lookedUp("id-bot", "bot")),
			outcome{Do: Mint, Serial: 5, Lifetime: 24 * time.Hour},
		},
		"B24 a deleted Secret needs a new token": {
			with(withSecret(func(s *Secret) { *s = Secret{} }), lookedUp("id-bot", "bot")),
			outcome{Do: Mint, Serial: 5, Lifetime: 24 * time.Hour},
		},
		"B25 a corrupt annotation reads as absent": {
			with(
				withSecret(func(s *Secret) { s.Token, s.InSync, s.Corrupt = nil, false, "annotation x cannot be read" }),
				lookedUp("id-bot", "bot"),
			),
			outcome{Do: Mint, Serial: 5, Lifetime: 24 * time.Hour},
		},
		"B40 a token that status does not name yet is not replaced before it does": {
			with(
				func(o *Observation) { o.Session.Status.Token.ID, o.Session.Status.Token.Serial = "t3", 3 },
				withLifetime("12h"), lookedUp("id-bot", "bot"),
			),
			outcome{
				Ready: "True Active", Authenticated: "Unknown Verifying", Synced: "absent", Backoff: true,
				Wake:    interval,
				Pending: map[string]time.Duration{"t3": 5 * time.Minute},
			},
		},
		"B40 after a crash before the status, the user is pinned first": {
			with(statusForgotten), outcome{Do: LookUpUser},
		},
		"B40 after a crash before the status, nothing is minted": {
			with(statusForgotten, lookedUp("id-bot", "bot")), activeOutcome(15 * time.Hour),
		},
		"B44 after a crash, with a list that could not be consulted: look again soon": {
			with(statusForgotten, withoutServerTokens, lookedUp("id-bot", "bot")), activeOutcome(time.Second),
		},
		"B46 the operator's own token is dead: the session stays as it is": {
			with(withNotReady(func(d *Deployment) { d.Result = refused })),
			outcome{Ready: "True Active", Authenticated: "Unknown Unauthorized", Synced: "absent", Wake: interval},
		},
		"B46 the operator's own token is dead: nothing is minted": {
			newSession("ci", withMint("bot"), withDeployment(func(d *Deployment) { d.Result = refused })),
			outcome{Ready: "False AwaitingDeployment", Authenticated: "absent", Synced: "absent", Wake: interval},
		},
		"a deployment that cannot mint": {
			newSession("ci", withMint("bot"), withDeployment(func(d *Deployment) { d.User = nil })),
			outcome{Ready: "False ConfigInvalid", Authenticated: "absent", Synced: "absent", Wake: interval},
		},
		"B47 the list says that the user is suspended: nothing is minted": {
			newSession(
				"ci", withMint("bot"), withPublishedToken("t4", 4, 20*time.Hour),
				func(o *Observation) { o.ServerTokens.UserSuspended = true },
			),
			outcome{
				Ready: "False Suspended", Authenticated: "False UserSuspended", Synced: "absent",
				Suspended: "UserSuspended", Wake: interval,
			},
		},
		"B47 the lookup says that the user is suspended": {
			newSession(
				"ci", withMint("bot"), lookedUp("id-bot", "bot"),
				func(o *Observation) { o.TargetUser.Suspended = true },
			),
			outcome{
				Ready: "False Suspended", Authenticated: "False UserSuspended", Synced: "absent",
				Suspended: "UserSuspended", Wake: interval,
			},
		},
		"B47 that the user before is suspended does not matter": {
			with(
				withMint("ada"), func(o *Observation) { o.ServerTokens.UserSuspended = true },
			), outcome{Do: LookUpUser},
		},
		"B48 the name belongs to another account": {
			newSession("ci", withMint("bot"), withRecordedUser("id-bot", "bot"), lookedUp("id-other", "bot")),
			outcome{Ready: "False ConfigInvalid", Wake: interval},
		},
		"B48 another name in the spec may be another account": {
			newSession("ci", withMint("ada"), withRecordedUser("id-bot", "bot"), lookedUp("id-ada", "ada")),
			outcome{Do: Mint, Serial: 1, Lifetime: 24 * time.Hour},
		},
		"a username's case does not count": {
			newSession("ci", withMint("Bot"), withRecordedUser("id-bot", "bot"), lookedUp("id-bot", "bot")),
			outcome{Do: Mint, Serial: 1, Lifetime: 24 * time.Hour},
		},
		"B31 me is an alias: nothing is minted for the operator itself": {
			newSession(
				"ci", withMint("me"), lookedUp("id-operator", "operator"),
			), outcome{Ready: "False ConfigInvalid", Wake: interval},
		},
		"no such user": {
			newSession(
				"ci", withMint("bot"), func(o *Observation) { o.TargetUser = TargetUser{Known: true, Missing: true} },
			),
			outcome{Ready: "False ConfigInvalid", Wake: interval},
		},
		"a serial that still retires is not used again": {
			newSession("ci", withMint("bot"), lookedUp("id-bot", "bot"), withPendingRevocation("t1", time.Minute),
				alsoListed("t1", 1)),
			outcome{Do: Mint, Serial: 2, Lifetime: 24 * time.Hour},
		},
	})
}

func TestMintPinsTheUser(t *testing.T) { // B48
	t.Parallel()
	bot := v1alpha1.SessionUser{ID: "id-bot", Username: "bot"}
	for name, tc := range map[string]struct {
		seen Observation
		want v1alpha1.SessionUser
	}{
		"with the mint":     {newSession("ci", withMint("bot"), lookedUp("id-bot", "bot")), bot},
		"in a steady state": {newSession("ci", withMint("bot"), withPublishedToken("t1", 1, 0)), bot},
		"when the name has moved on": {
			newSession("ci", withMint("bot"), withRecordedUser("id-bot", "bot"), lookedUp("id-other", "bot")), bot,
		},
		"while the user is suspended": {
			newSession(
				"ci", withMint("bot"), lookedUp("id-bot", "bot"),
				func(o *Observation) { o.TargetUser.Suspended = true },
			), bot,
		},
		"while the access is denied": {
			newSession(
				"ci", withMint("bot"), withRecordedUser("id-bot", "bot"), withDeployment(func(d *Deployment) { d.Denied = "no" }),
			), bot,
		},
		"after a crash": {
			newSession("ci", withMint("bot"), withPublishedToken("t1", 1, 0), statusForgotten, lookedUp("id-bot", "bot")), bot,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Decide(tc.seen).User; got == nil || *got != tc.want {
				t.Errorf("user = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSpecDigest(t *testing.T) {
	t.Parallel()
	base := v1alpha1.MintAuth{User: "bot", Lifetime: "24h", Scopes: []v1alpha1.Scope{"a:b", "c:d"}}
	changed := func(change func(*v1alpha1.MintAuth)) *v1alpha1.MintAuth {
		mint := *base.DeepCopy()
		change(&mint)
		return &mint
	}
	same := map[string]*v1alpha1.MintAuth{
		"the order of scopes": changed(
			func(m *v1alpha1.MintAuth) { m.Scopes = []v1alpha1.Scope{"c:d", "a:b"} },
		),
		"another way to write the length": changed(func(m *v1alpha1.MintAuth) { m.Lifetime = "1440m" }),
		"the default, stored without one": changed(func(m *v1alpha1.MintAuth) { m.Lifetime = "" }),
		"an empty allow-list is no allow-list": changed(
			func(m *v1alpha1.MintAuth) { m.AllowList = []v1alpha1.AllowListEntry{} },
		),
	}
	other := map[string]*v1alpha1.MintAuth{
		"user":       changed(func(m *v1alpha1.MintAuth) { m.User = "ada" }),
		"lifetime":   changed(func(m *v1alpha1.MintAuth) { m.Lifetime = "12h" }),
		"scopes":     changed(func(m *v1alpha1.MintAuth) { m.Scopes = m.Scopes[:1] }),
		"allow-list": changed(func(m *v1alpha1.MintAuth) { m.AllowList = []v1alpha1.AllowListEntry{"workspace:*"} }),
	}
	want := SpecDigest(&base, "")
	for name, mint := range same {
		if got := SpecDigest(mint, ""); got != want {
			t.Errorf("%s: another digest", name)
		}
	}
	for name, mint := range other {
		if SpecDigest(mint, "") == want {
			t.Errorf("%s: still the same digest", name)
		}
	}
	if SpecDigest(nil, "") != "" {
		t.Error("a session that mints nothing has a digest")
	}
}

// B24
func TestStatusRecordsNoVersionOfAnEditedSecret(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour))
	o.Secret.ResourceVersion, o.Secret.InSync = "8", false
	for was, status := range map[string]*v1alpha1.SecretStatus{"": nil, "7": {Name: "ci", ResourceVersion: "7"}} {
		o.Session.Status.Secret = status
		if got := mirrorSecret(o); got.ResourceVersion != was {
			t.Errorf("status names version %q, want %q", got.ResourceVersion, was)
		}
	}
	o.Secret.InSync = true
	if got := mirrorSecret(o); got.ResourceVersion != "8" {
		t.Errorf("status names version %q of a Secret that is in sync", got.ResourceVersion)
	}
}

// B48
func TestUserIsPinnedOnOneServer(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withMint("bot"), lookedUp("id-there", "bot"))
	o.Secret = Secret{}
	for name, tc := range map[string]struct{ pinnedOn, server, want string }{
		"the same server":                    {"a", "a", "id-here"},
		"another server":                     {"a", "b", "id-there"},
		"a user pinned on an unknown server": {"", "b", "id-here"},
	} {
		o.Session.Status.User = &v1alpha1.SessionUser{ID: "id-here", Username: "bot", DeploymentID: tc.pinnedOn}
		o.Deployment.ID = tc.server
		if got := o.pinnedUser(); got.ID != tc.want {
			t.Errorf("%s: pinned is %s, want %s", name, got.ID, tc.want)
		}
	}
}

// B42: the name of a token whose Secret lost its annotations is not used again while readers may
// still have its value.
func TestSerialOfAPendingRevocationIsTaken(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withMint("bot"))
	for name, want := range map[string]int64{
		"cso-cluster1-12345678-1": 2, "cso-cluster1-12345678-2": 1, "cso-cluster1-12345678-x": 1, "": 1, "-1": 2, "1": 2,
	} {
		o.Session.Status.PendingRevocations = []v1alpha1.PendingRevocation{{ID: "t", Name: name}}
		if got := o.nextSerial(); got != want {
			t.Errorf("after %q the next serial is %d, want %d", name, got, want)
		}
	}
}

// A user that the server does not show does not exist, or the operator's own user is no owner.
func TestAUserThatTheServerDoesNotShow(t *testing.T) {
	t.Parallel()
	missing := func(o *Observation) { o.TargetUser = TargetUser{Known: true, Missing: true} }
	for name, tc := range map[string]struct {
		owner bool
		want  string
	}{
		"to an owner": {true, `the server has no user "bot": correct auth.mint.user`},
		"to another user": {false, `the operator's user "operator" is no owner, so it cannot mint for user "bot": ` +
			"give it the role owner on the server, or name the token of an owner in the CoderDeployment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Decide(newSession("ci", withMint("bot"), missing, withDeployment(func(d *Deployment) {
				d.SeesAllUsers = tc.owner
			})))
			c := p.findCondition(v1alpha1.ConditionReady)
			if c == nil || c.Reason != v1alpha1.ReasonConfigInvalid || c.Message != tc.want {
				t.Errorf("Ready is %+v, want the message %q", c, tc.want)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// retiredByPolicy is a retention decision that retires the session, based on activity so long ago.
func retiredByPolicy(reason string, ago time.Duration) option {
	return func(o *Observation) {
		o.Retention = RetentionDecision{Reason: reason, Message: "it is unused", LastActiveTime: o.Now.Add(-ago)}
	}
}

// heldAboveLimit is a decision about a session that asks for something, active an hour ago.
func heldAboveLimit(o *Observation) {
	retiredByPolicy(v1alpha1.RetirementSessionLimit, time.Hour)(o)
	o.Retention.Held = true
}

func mayReturn(o *Observation) { o.Retention = RetentionDecision{MayReturn: true} }

// isRetired is a session that was retired two hours ago, after ten hours without use.
func isRetired(o *Observation) {
	o.Session.Status.Retirement = &v1alpha1.Retirement{
		Reason: v1alpha1.RetirementIdle, Message: "as it was", StartTime: *statusTime(o.Now.Add(-2 * time.Hour)),
		LastActiveTime: *statusTime(o.Now.Add(-12 * time.Hour)),
		Generation:     o.Session.Generation,
	}
	withReady(false, v1alpha1.ReasonRetired)(o)
}

// requested sets a renewal request; handled is the one in status.
func withRenewRequest(request, handled string) option {
	return func(o *Observation) {
		o.Session.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: request}
		o.Session.Status.LastHandledRenewAt = handled
	}
}

func withNewGeneration(o *Observation) { o.Session.Generation++ }

func activeSince(ago time.Duration) option {
	return func(o *Observation) { o.Session.Status.LastActivityTime = statusTime(o.Now.Add(-ago)) }
}

// B27, B28: status records a retirement before anything is removed; then the Secret is deleted and
// the token revoked. A renewal request or a change of the spec brings the session back.
func TestRetirement(t *testing.T) {
	t.Parallel()
	idle := retiredByPolicy(v1alpha1.RetirementIdle, 720*time.Hour)
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Hour)}, options...)...)
	}
	without := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), isRetired}, options...)...)
	}
	down := withOutage()
	settling := withDeployment(func(d *Deployment) { d.Settling = true })
	recorded := outcome{Ready: "False Retired", Wake: time.Second}
	atRest := outcome{RevokeAll: true, Ready: "False Retired", Authenticated: "absent", Synced: "absent", Cut: "absent"}
	active := activeOutcome(15 * time.Hour)
	checkRows(t, map[string]row{
		"first status records it": {with(idle), recorded},
		"B40 nothing is revoked with that": {
			with(idle, withPendingRevocation("t3", time.Minute)),
			outcome{Ready: "False Retired", Wake: time.Second, Pending: map[string]time.Duration{"t3": time.Minute}},
		},
		"then the Secret goes": {with(isRetired, idle), outcome{Do: DeleteSecret}},
		"not before status names its token": {
			with(isRetired, func(o *Observation) { o.Session.Status.Token = nil }),
			outcome{
				RevokeAll: true, Ready: "False Retired", Authenticated: "absent", Synced: "absent", Cut: "absent",
				Wake: time.Second, Pending: map[string]time.Duration{"t4": 0},
			},
		},
		"then the token": {
			without(withPendingRevocation("t4", 0)), outcome{Do: Revoke, Revoke: []string{"t4"}},
		},
		"and nothing is left to do or wait for": {without(), atRest},
		"B54 after a restart it stays so":       {without(withoutServerTokens), atRest},
		"it stays so with a decision":           {without(idle), atRest},
		"and whatever its deployment is":        {without(down), atRest},
		"even gone": {
			without(withDeployment(func(d *Deployment) { *d = Deployment{} })), atRest,
		},
		"settling: it is not begun": {with(idle, settling), outcome{Keep: true, Wake: time.Second}},
		"unreachable: nor then": {
			with(idle, down),
			outcome{Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "absent", Wake: interval},
		},
		"B15 paused: it stays as it is": {with(idle, withPause), outcome{Ready: "False Paused"}},
		"B136 paused above the limit": {
			with(retiredByPolicy(v1alpha1.RetirementSessionLimit, time.Hour), withPause), recorded,
		},
		"B136 and asked for as well": {
			with(retiredByPolicy(v1alpha1.RetirementSessionLimit, time.Hour), withPause, withRenewRequest("one", "")), recorded,
		},
		"B136 paused, and the decision is older": {
			with(retiredByPolicy(v1alpha1.RetirementSessionLimit, time.Hour), withPause, activeSince(time.Minute)),
			outcome{Ready: "False Paused"},
		},
		"B136 asking, and above the limit with all that do": {
			with(heldAboveLimit, withRenewRequest("one", "")), outcome{Do: DeleteSecret},
		},
		"B136 and then the token goes": {
			with(heldAboveLimit, withRenewRequest("one", ""), func(o *Observation) { o.Secret = Secret{} }),
			outcome{Do: Revoke, Revoke: []string{"t4"}},
		},
		"B136 not one that was minted since": {
			with(heldAboveLimit, withRenewRequest("one", ""), func(o *Observation) { o.Session.Status.Token.ID = "t3" }),
			outcome{Do: LookUpUser},
		},
		"B136 nor one that does not ask any more": {with(heldAboveLimit, activeSince(time.Minute)), active},
		"paused, and retired for that":            {without(withPause), atRest},
		"asked for as well":                       {without(withPause, withRenewRequest("one", "")), atRest},
		"retired, and paused later":               {without(withPause, withNewGeneration), outcome{Ready: "False Paused"}},
		"B32 access comes first": {
			without(withDeployment(func(d *Deployment) { d.Denied = "no" })),
			outcome{
				RevokeAll: true, Ready: "False AccessDenied", Authenticated: "absent", Synced: "absent", Cut: "absent",
			},
		},
		"a session that does not mint is not": {
			newSession("ci", withToken(), publishedSupplied(value), checkedAs(value, 0, accepted), idle),
			activeOutcome(interval),
		},
		"active since the decision: out of date": {with(idle, activeSince(time.Hour)), active},
		"active before it":                       {with(idle, activeSince(721*time.Hour)), recorded},
		"asked for, and not served yet: it stays": {
			with(idle, withRenewRequest("one", ""), lookedUp("id-bot", "bot")),
			outcome{Do: Mint, Serial: 5, Lifetime: 24 * time.Hour},
		},
		"changed just now: it stays":   {with(idle, withNewGeneration), active},
		"a request brings it back":     {without(withRenewRequest("one", "")), outcome{Do: LookUpUser}},
		"one that was served does not": {without(withRenewRequest("one", "one")), atRest},
		"another one does": {
			without(withRenewRequest("two", "one"), lookedUp("id-bot", "bot")),
			outcome{Do: Mint, Serial: 1, Lifetime: 24 * time.Hour},
		},
		"a change of its spec brings it back": {without(withNewGeneration), outcome{Do: LookUpUser}},
		"and so does room for it":             {without(mayReturn), outcome{Do: LookUpUser}},
		"deleted: it goes like any other":     {without(withDeletion(0)), outcome{Do: FindLostToken, Serial: 1}},
		"B09 what could not be revoked is tried again": {
			without(withPendingRevocation("t4", 0), failedTo(Revoke, failure.Transient, "")),
			outcome{
				RevokeAll: true, Ready: "False Retired", Authenticated: "absent", Synced: "absent",
				Cut: "absent", Pending: map[string]time.Duration{"t4": 0}, Wake: interval,
			},
		},
		"a workspace that was watched is not looked at": {
			without(boundTo(func(b *WorkspaceBinding) { b.Time = noon.Add(-time.Hour) })), atRest,
		},
		"a workspace that stops comes first": {
			with(idle, boundTo(func(b *WorkspaceBinding) { b.Running = false })), outcome{Do: DeleteSecret},
		},
	})
}

// What status says about a retirement: why, since when, and the activity that it is based on.
func TestRetirementInStatus(t *testing.T) {
	t.Parallel()
	begun := newSession(
		"ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour), withNewGeneration,
		retiredByPolicy(v1alpha1.RetirementIdle, 720*time.Hour),
		func(o *Observation) { o.Session.Status.ObservedGeneration = 1 },
	)
	moved := newSession("ci", withMint("bot"), isRetired, retiredByPolicy(v1alpha1.RetirementSessionLimit, 0))
	how := "it is unused; run kubectl coder renew, or change the spec, to get the credential back now"
	unchanged := &v1alpha1.Retirement{
		Reason: v1alpha1.RetirementIdle, Message: "as it was",
		StartTime: *statusTime(noon.Add(-2 * time.Hour)), LastActiveTime: *statusTime(noon.Add(-12 * time.Hour)),
	}
	denied := withDeployment(func(d *Deployment) { d.Denied = "no" })
	down := withOutage()
	for name, tc := range map[string]struct {
		seen Observation
		want *v1alpha1.Retirement
	}{
		"it begins": {begun, &v1alpha1.Retirement{
			Reason: v1alpha1.RetirementIdle, Message: how, Generation: 1,
			StartTime: *statusTime(noon), LastActiveTime: *statusTime(noon.Add(-720 * time.Hour)),
		}},
		"it goes on for another reason": {moved, &v1alpha1.Retirement{
			Reason: v1alpha1.RetirementSessionLimit, Message: how, StartTime: *statusTime(noon.Add(-2 * time.Hour)),
			LastActiveTime: *statusTime(noon.Add(-12 * time.Hour)),
		}},
		"it goes on without a decision": {newSession("ci", withMint("bot"), isRetired), unchanged},
		"access is denied meanwhile":    {newSession("ci", withMint("bot"), isRetired, denied), unchanged},
		"asked for, and the server is unreachable": {
			newSession("ci", withMint("bot"), isRetired, withRenewRequest("one", ""), down), unchanged,
		},
		"it is back": {
			newSession("ci", withMint("bot"), isRetired, withRenewRequest("one", ""), withPublishedToken("t1", 1, 0),
				mintedFor("one")),
			nil,
		},
		"it does not mint now": {newSession("ci", withToken(), isRetired, withNewGeneration), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := writeStatus(tc.seen, Decide(tc.seen), tc.seen.Session.Generation)
			if diff := cmp.Diff(tc.want, status.Retirement); diff != "" {
				t.Errorf("unexpected retirement (-want +got):\n%s", diff)
			}
			c := Decide(tc.seen).findCondition(v1alpha1.ConditionReady)
			if tc.want != nil && c.Reason == v1alpha1.ReasonRetired && c.Message != tc.want.Message {
				t.Errorf("Ready says %q, the retirement %q", c.Message, tc.want.Message)
			}
		})
	}
}

// mintedFor sets the renewal request that the published token was minted for.
func mintedFor(request string) option {
	return func(o *Observation) {
		o.Secret.Token.SpecDigest = withRenewalRequest(o.Secret.Token.SpecDigest, request)
	}
}

// For retention a session is active when a person changed or renewed it, not when its token is
// rotated.
func TestActivity(t *testing.T) {
	t.Parallel()
	before := 48 * time.Hour
	with := func(options ...option) Observation {
		current := func(o *Observation) { o.Session.Generation, o.Session.Status.ObservedGeneration = 3, 3 }
		base := []option{withMint("bot"), withPublishedToken("t4", 4, time.Hour), activeSince(before), current}
		return newSession("ci", append(base, options...)...)
	}
	tokenOf := func(id string) option { return func(o *Observation) { o.Session.Status.Token.ID = id } }
	firstLook := func(o *Observation) { o.Session.Status.Token, o.Session.Status.ObservedGeneration = nil, -1 }
	for name, tc := range map[string]struct {
		seen Observation
		want time.Duration // ago
	}{
		"nothing happens":           {with(), before},
		"its token was rotated":     {with(tokenOf("t3")), before},
		"its spec changed":          {with(withNewGeneration), 0},
		"its renewal was asked for": {with(withRenewRequest("one", ""), mintedFor("one")), 0},
		"and served before":         {with(withRenewRequest("one", "one"), mintedFor("one")), before},
		"it had no credential":      {with(func(o *Observation) { o.Session.Status.Token = nil }), 0},
		"it was just created":       {with(createdAgo(59*time.Second), firstLook), before},
		"it waited for a minute":    {with(createdAgo(time.Minute), firstLook), 0},
		"it is back on request": {
			with(
				func(o *Observation) { o.Session.Status.Token = nil }, isRetired, withRenewRequest("one", ""),
				mintedFor("one"),
			),
			0,
		},
		"it is back with another spec, which took a while": {
			with(
				func(o *Observation) { o.Session.Status.Token = nil }, isRetired, withNewGeneration,
				func(o *Observation) { o.Session.Status.ObservedGeneration = 4 },
			),
			0,
		},
		"it is back as there was room": {
			with(func(o *Observation) { o.Session.Status.Token = nil }, isRetired, mayReturn), 12 * time.Hour,
		},
		"it is resumed":     {with(withNewGeneration, withReady(false, v1alpha1.ReasonPaused)), 0},
		"its token is used": {with(func(o *Observation) { o.ServerTokens.Token.LastUsedAt = noon }), before},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := writeStatus(tc.seen, Decide(tc.seen), tc.seen.Session.Generation)
			if got := status.LastActivityTime; got == nil || noon.Sub(got.Time) != tc.want {
				t.Errorf("active since %v, want %s before noon", got, tc.want)
			}
		})
	}
	supplied := newSession("own", withToken(), publishedSupplied(value), checkedAs(value, 0, accepted), withNewGeneration)
	if got := Decide(supplied).LastActivityTime; got != nil {
		t.Errorf("a session that does not mint is active since %s", got)
	}
}

// B28: the last use of a token is remembered when another one replaces it, and a later use of
// either counts.
func TestTheLastUseOutlivesARotation(t *testing.T) {
	t.Parallel()
	used := func(ago time.Duration) option {
		return func(o *Observation) { o.Session.Status.Token.LastUsedTime = statusTime(o.Now.Add(-ago)) }
	}
	with := func(options ...option) Observation {
		return newSession("ci", append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Minute)}, options...)...)
	}
	rotated := func(o *Observation) { o.Session.Status.Token.ID = "t3" }
	for name, tc := range map[string]struct {
		seen Observation
		want time.Duration // so long ago, or never where it is negative
	}{
		"never used":                    {with(), -1},
		"the same token":                {with(used(3 * time.Hour)), 3 * time.Hour},
		"rotated":                       {with(used(3*time.Hour), rotated), 3 * time.Hour},
		"rotated, before the next list": {with(used(3*time.Hour), rotated, withoutServerTokens), 3 * time.Hour},
		"rotated, and used": {
			with(
				used(3*time.Hour), rotated,
				func(o *Observation) { o.ServerTokens.Token.LastUsedAt = noon.Add(-time.Minute) },
			),
			time.Minute,
		},
		"the old one was used once more": {
			with(
				used(3*time.Hour), rotated, alsoListed("t3", 3),
				func(o *Observation) { o.ServerTokens.Others[0].LastUsedAt = noon.Add(-time.Hour) },
			),
			time.Hour,
		},
		"a supplied token was there then": {
			with(used(3*time.Hour), rotated, func(o *Observation) { o.Session.Status.Token.Serial = 0 }), -1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Decide(tc.seen).Token.LastUsedTime
			if (got == nil) != (tc.want < 0) || got != nil && noon.Sub(got.Time) != tc.want {
				t.Errorf("last used %v, want %s before noon", got, tc.want)
			}
		})
	}
}

func TestLastActive(t *testing.T) {
	t.Parallel()
	created := func(ago time.Duration) option {
		return func(o *Observation) { o.Session.CreationTimestamp = metav1.NewTime(o.Now.Add(-ago)) }
	}
	with := func(options ...option) Observation {
		return newSession(
			"ci",
			append([]option{withMint("bot"), withPublishedToken("t4", 4, time.Minute), created(9 * time.Hour)}, options...)...,
		)
	}
	remembered := func(o *Observation) { o.Session.Status.Token.LastUsedTime = statusTime(noon.Add(-4 * time.Hour)) }
	for name, tc := range map[string]struct {
		seen Observation
		used time.Time
		skew time.Duration
		want time.Duration // ago
	}{
		"never used":                  {with(), time.Time{}, 0, 9 * time.Hour},
		"used":                        {with(), noon.Add(-time.Hour), 0, time.Hour},
		"B53 by the operator's clock": {with(), noon.Add(-time.Hour), -5 * time.Minute, 55 * time.Minute},
		"used before a rotation":      {with(remembered), time.Time{}, 0, 4 * time.Hour},
		"and after it":                {with(remembered), noon.Add(-time.Hour), 0, time.Hour},
		"a person changed or renewed it": {
			with(remembered, activeSince(2*time.Hour)), time.Time{}, 0, 2 * time.Hour,
		},
		"used after that": {
			with(activeSince(2 * time.Hour)), noon.Add(-time.Hour), 0, time.Hour,
		},
		"retired: what the decision was based on": {with(isRetired, activeSince(2*time.Hour)), noon, 0, 12 * time.Hour},
		"a supplied token says nothing about it": {
			with(remembered, func(o *Observation) { o.Session.Status.Token.Serial = 0 }), time.Time{}, 0, 9 * time.Hour,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := noon.Sub(LastActive(tc.seen.Session, tc.used, tc.skew)); got != tc.want {
				t.Errorf("last active %s before noon, want %s", got, tc.want)
			}
		})
	}
}

func TestRetirementNamesTheWayBack(t *testing.T) {
	t.Parallel()
	o := newSession(
		"ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour), retiredByPolicy(v1alpha1.RetirementIdle,
			720*time.Hour),
	)
	c := Decide(o).findCondition(v1alpha1.ConditionReady)
	if !strings.Contains(c.Message, "kubectl coder renew") {
		t.Errorf("Ready says %q", c.Message)
	}
}

// B142: only uses of tokens of the session's user count, also while one of another user is yet to be revoked.
func TestUsesOfTokensOfAnotherUser(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withMint("bot"), withPublishedToken("t4", 4, time.Hour))
	own, other := o.Now.Add(-2*time.Minute), o.Now.Add(-time.Minute)
	o.ServerTokens.Others = []Listed{{ID: "t3", LastUsedAt: own}, {ID: "t9", LastUsedAt: other, OfOtherUser: true}}
	if got := lastUsedTime(o); !got.Equal(own) {
		t.Errorf("it was used at %s, want %s", got, own)
	}
}

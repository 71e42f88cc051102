// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// ruledOut is a ruling that retires the session, by what was known so long ago.
func ruledOut(reason string, ago time.Duration) option {
	return func(o *Observation) {
		o.Retention = RetentionDecision{Reason: reason, Message: "nobody needs it", LastActiveTime: o.Now.Add(-ago)}
	}
}

func mayReturn(o *Observation) { o.Retention = RetentionDecision{MayReturn: true} }

// isRetired says that status has retired the session two hours ago, when it had not been
// used for ten.
func isRetired(o *Observation) {
	o.Session.Status.Retirement = &v1alpha1.Retirement{
		Reason: v1alpha1.RetirementIdle, Message: "as it was", StartTime: *stamp(o.Now.Add(-2 * time.Hour)), LastActiveTime: *stamp(o.Now.Add(-12 * time.Hour)),
		Generation: o.Session.Generation,
	}
	ready(false, v1alpha1.ReasonRetired)(o)
}

// requested is a request for renewal; handled is the one that status tells of.
func requested(request, handled string) option {
	return func(o *Observation) {
		o.Session.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: request}
		o.Session.Status.LastHandledRenewAt = handled
	}
}

func edited(o *Observation) { o.Session.Generation++ }

func activeSince(ago time.Duration) option {
	return func(o *Observation) { o.Session.Status.LastActivityTime = stamp(o.Now.Add(-ago)) }
}

// B27, B28: status says that a session is retired before anything is taken from it; then
// its Secret goes, then its token; a request or another spec brings it back.
func TestRetired(t *testing.T) {
	t.Parallel()
	idle := ruledOut(v1alpha1.RetirementIdle, 720*time.Hour)
	with := func(options ...option) Observation {
		return session("ci", append([]option{withMint("bot"), published("t4", 4, time.Hour)}, options...)...)
	}
	without := func(options ...option) Observation {
		return session("ci", append([]option{withMint("bot"), isRetired}, options...)...)
	}
	down := deployment(func(d *Deployment) { d.Result = unreachable })
	settling := deployment(func(d *Deployment) { d.Settling = true })
	said := outcome{Ready: "False Retired", Wake: time.Second}
	rests := outcome{Strip: true, Ready: "False Retired", Authenticated: "absent", Synced: "absent", Cut: "absent"}
	active := activeOutcome(15 * time.Hour)
	check(t, map[string]row{
		"first it is said":                        {with(idle), said},
		"B40 nothing is revoked with that":        {with(idle, retires("t3", time.Minute)), outcome{Ready: "False Retired", Wake: time.Second, Retiring: map[string]time.Duration{"t3": time.Minute}}},
		"then the Secret goes":                    {with(isRetired, idle), outcome{Do: DeleteSecret}},
		"not before status names its token":       {with(isRetired, func(o *Observation) { o.Session.Status.Token = nil }), outcome{Strip: true, Ready: "False Retired", Authenticated: "absent", Synced: "absent", Cut: "absent", Wake: time.Second, Retiring: map[string]time.Duration{"t4": 0}}},
		"then the token":                          {without(retires("t4", 0)), outcome{Do: Revoke, Revoke: []string{"t4"}}},
		"and nothing is left to do or wait for":   {without(), rests},
		"B54 after a restart it stays so":         {without(unlisted), rests},
		"it stays so with a ruling":               {without(idle), rests},
		"and whatever its deployment is":          {without(down), rests},
		"even gone":                               {without(deployment(func(d *Deployment) { *d = Deployment{} })), rests},
		"settling: it is not begun":               {with(idle, settling), outcome{Keep: true, Wake: time.Second}},
		"unreachable: nor then":                   {with(idle, down), outcome{Ready: "True Active", Authenticated: "Unknown Unreachable", Synced: "True Synced", Wake: interval}},
		"B15 paused: it stays as it is":           {with(idle, suspend), outcome{Ready: "False Paused"}},
		"B32 access has the first say":            {without(deployment(func(d *Deployment) { d.Denied = "no" })), outcome{Strip: true, Ready: "False AccessDenied", Authenticated: "absent", Synced: "absent", Cut: "absent"}},
		"a session that does not mint is not":     {session("ci", withToken(), publishedSupplied(value), checkedAs(value, 0, accepted), idle), activeOutcome(interval)},
		"active since the ruling: out of date":    {with(idle, activeSince(time.Hour)), active},
		"active before it":                        {with(idle, activeSince(721*time.Hour)), said},
		"asked for, and not served yet: it stays": {with(idle, requested("one", ""), lookedUp("id-bot", "bot")), outcome{Do: Mint, Serial: 5, Lifetime: 24 * time.Hour}},
		"changed just now: it stays":              {with(idle, edited), active},
		"a request brings it back":                {without(requested("one", "")), outcome{Do: LookUpUser}},
		"one that was served does not":            {without(requested("one", "one")), rests},
		"another one does":                        {without(requested("two", "one"), lookedUp("id-bot", "bot")), outcome{Do: Mint, Serial: 1, Lifetime: 24 * time.Hour}},
		"a change of its spec brings it back":     {without(edited), outcome{Do: LookUpUser}},
		"and so does a ruling":                    {without(mayReturn), outcome{Do: LookUpUser}},
		"deleted: it goes like any other":         {without(deleted(0)), outcome{Do: FindLostToken, Serial: 1}},
		"B09 what could not be revoked is tried again": {without(retires("t4", 0), failedTo(Revoke, Transient, "")),
			outcome{Strip: true, Backoff: true, Ready: "False Retired", Authenticated: "absent", Synced: "absent", Cut: "absent", Retiring: map[string]time.Duration{"t4": 0}, Wake: interval}},
		"a workspace that was watched is not looked at": {without(boundTo(func(b *WorkspaceBinding) { b.At = noon.Add(-time.Hour) })), rests},
		"a workspace that stops comes first":            {with(idle, boundTo(func(b *WorkspaceBinding) { b.Running = false })), outcome{Do: DeleteSecret}},
	})
}

// What status says of a retirement: why, since when, and what the ruling went by.
func TestRetirementIsSaid(t *testing.T) {
	t.Parallel()
	begun := session("ci", withMint("bot"), published("t4", 4, time.Hour), edited, ruledOut(v1alpha1.RetirementIdle, 720*time.Hour), func(o *Observation) { o.Session.Status.ObservedGeneration = 1 })
	moved := session("ci", withMint("bot"), isRetired, ruledOut(v1alpha1.RetirementSessionLimit, 0))
	how := "nobody needs it; to get the credential back now, run: kubectl coder renew ci -n builds, or change the spec"
	for name, tc := range map[string]struct {
		seen Observation
		want *v1alpha1.Retirement
	}{
		"it begins": {begun, &v1alpha1.Retirement{
			Reason: v1alpha1.RetirementIdle, Message: how, StartTime: *stamp(noon), LastActiveTime: *stamp(noon.Add(-720 * time.Hour)), Generation: 1,
		}},
		"it goes on for another reason": {moved, &v1alpha1.Retirement{
			Reason: v1alpha1.RetirementSessionLimit, Message: how, StartTime: *stamp(noon.Add(-2 * time.Hour)), LastActiveTime: *stamp(noon.Add(-12 * time.Hour)),
		}},
		"it goes on, and nobody rules": {session("ci", withMint("bot"), isRetired), &v1alpha1.Retirement{
			Reason: v1alpha1.RetirementIdle, Message: "as it was", StartTime: *stamp(noon.Add(-2 * time.Hour)), LastActiveTime: *stamp(noon.Add(-12 * time.Hour)),
		}},
		"access is denied meanwhile": {session("ci", withMint("bot"), isRetired, deployment(func(d *Deployment) { d.Denied = "no" })), &v1alpha1.Retirement{
			Reason: v1alpha1.RetirementIdle, Message: "as it was", StartTime: *stamp(noon.Add(-2 * time.Hour)), LastActiveTime: *stamp(noon.Add(-12 * time.Hour)),
		}},
		"asked for, and the server is away": {session("ci", withMint("bot"), isRetired, requested("one", ""), deployment(func(d *Deployment) { d.Result = unreachable })), &v1alpha1.Retirement{
			Reason: v1alpha1.RetirementIdle, Message: "as it was", StartTime: *stamp(noon.Add(-2 * time.Hour)), LastActiveTime: *stamp(noon.Add(-12 * time.Hour)),
		}},
		"it is back":           {session("ci", withMint("bot"), isRetired, requested("one", ""), published("t1", 1, 0), mintedFor("one")), nil},
		"it does not mint now": {session("ci", withToken(), isRetired, edited), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := written(tc.seen, Decide(tc.seen), tc.seen.Session.Generation)
			if diff := cmp.Diff(tc.want, status.Retirement); diff != "" {
				t.Errorf("another retirement (-want +got):\n%s", diff)
			}
			if c := Decide(tc.seen).condition(v1alpha1.ConditionReady); tc.want != nil && c.Reason == v1alpha1.ReasonRetired && c.Message != tc.want.Message {
				t.Errorf("Ready says %q, the retirement %q", c.Message, tc.want.Message)
			}
		})
	}
}

// mintedFor says which request for renewal the published token was minted for.
func mintedFor(request string) option {
	return func(o *Observation) { o.Secret.Token.SpecDigest = renewal(o.Secret.Token.SpecDigest, request) }
}

// For retention a session is active when somebody did something about it, not when its
// token is rotated.
func TestActivity(t *testing.T) {
	t.Parallel()
	before := 48 * time.Hour
	with := func(options ...option) Observation {
		return session("ci", append([]option{withMint("bot"), published("t4", 4, time.Hour), activeSince(before), func(o *Observation) {
			o.Session.Generation, o.Session.Status.ObservedGeneration = 3, 3
		}}, options...)...)
	}
	tokenOf := func(id string) option { return func(o *Observation) { o.Session.Status.Token.ID = id } }
	for name, tc := range map[string]struct {
		seen Observation
		want time.Duration // ago
	}{
		"nothing happens":                                  {with(), before},
		"its token was rotated":                            {with(tokenOf("t3")), before},
		"its spec changed":                                 {with(edited), 0},
		"its renewal was asked for":                        {with(requested("one", ""), mintedFor("one")), 0},
		"and served before":                                {with(requested("one", "one"), mintedFor("one")), before},
		"it had no credential":                             {with(func(o *Observation) { o.Session.Status.Token = nil }), 0},
		"it is back on request":                            {with(func(o *Observation) { o.Session.Status.Token = nil }, isRetired, requested("one", ""), mintedFor("one")), 0},
		"it is back with another spec, which took a while": {with(func(o *Observation) { o.Session.Status.Token = nil }, isRetired, edited, func(o *Observation) { o.Session.Status.ObservedGeneration = 4 }), 0},
		"it is back as there was room":                     {with(func(o *Observation) { o.Session.Status.Token = nil }, isRetired, mayReturn), 12 * time.Hour},
		"it is resumed":                                    {with(edited, ready(false, v1alpha1.ReasonPaused)), 0},
		"somebody uses it":                                 {with(func(o *Observation) { o.ServerTokens.Token.LastUsedAt = noon }), before},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := written(tc.seen, Decide(tc.seen), tc.seen.Session.Generation)
			if got := status.LastActivityTime; got == nil || noon.Sub(got.Time) != tc.want {
				t.Errorf("active since %v, want %s before noon", got, tc.want)
			}
		})
	}
	supplied := session("own", withToken(), publishedSupplied(value), checkedAs(value, 0, accepted), edited)
	if got := Decide(supplied).LastActivityTime; got != nil {
		t.Errorf("a session that does not mint is active since %s", got)
	}
}

// B28: what the server has seen of one token is remembered when the next one takes its
// place, and when that is used, both count.
func TestTheLastUseOutlivesARotation(t *testing.T) {
	t.Parallel()
	used := func(ago time.Duration) option {
		return func(o *Observation) { o.Session.Status.Token.LastUsedTime = stamp(o.Now.Add(-ago)) }
	}
	with := func(options ...option) Observation {
		return session("ci", append([]option{withMint("bot"), published("t4", 4, time.Minute)}, options...)...)
	}
	rotated := func(o *Observation) { o.Session.Status.Token.ID = "t3" }
	for name, tc := range map[string]struct {
		seen Observation
		want time.Duration // so long ago, or never where it is negative
	}{
		"never used":                      {with(), -1},
		"the same token":                  {with(used(3 * time.Hour)), 3 * time.Hour},
		"rotated":                         {with(used(3*time.Hour), rotated), 3 * time.Hour},
		"rotated, before the next list":   {with(used(3*time.Hour), rotated, unlisted), 3 * time.Hour},
		"rotated, and used":               {with(used(3*time.Hour), rotated, func(o *Observation) { o.ServerTokens.Token.LastUsedAt = noon.Add(-time.Minute) }), time.Minute},
		"the old one was used once more":  {with(used(3*time.Hour), rotated, alsoListed("t3", 3), func(o *Observation) { o.ServerTokens.Others[0].LastUsedAt = noon.Add(-time.Hour) }), time.Hour},
		"a supplied token was there then": {with(used(3*time.Hour), rotated, func(o *Observation) { o.Session.Status.Token.Serial = 0 }), -1},
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
		return session("ci", append([]option{withMint("bot"), published("t4", 4, time.Minute), created(9 * time.Hour)}, options...)...)
	}
	remembered := func(o *Observation) { o.Session.Status.Token.LastUsedTime = stamp(noon.Add(-4 * time.Hour)) }
	for name, tc := range map[string]struct {
		seen Observation
		used time.Time
		skew time.Duration
		want time.Duration // ago
	}{
		"never used":                             {with(), time.Time{}, 0, 9 * time.Hour},
		"used":                                   {with(), noon.Add(-time.Hour), 0, time.Hour},
		"B53 by the operator's clock":            {with(), noon.Add(-time.Hour), -5 * time.Minute, 55 * time.Minute},
		"used before a rotation":                 {with(remembered), time.Time{}, 0, 4 * time.Hour},
		"and after it":                           {with(remembered), noon.Add(-time.Hour), 0, time.Hour},
		"somebody did something about it":        {with(remembered, activeSince(2*time.Hour)), time.Time{}, 0, 2 * time.Hour},
		"used after that":                        {with(activeSince(2 * time.Hour)), noon.Add(-time.Hour), 0, time.Hour},
		"retired: what the ruling went by":       {with(isRetired, activeSince(2*time.Hour)), noon, 0, 12 * time.Hour},
		"a supplied token says nothing about it": {with(remembered, func(o *Observation) { o.Session.Status.Token.Serial = 0 }), time.Time{}, 0, 9 * time.Hour},
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
	o := session("ci", withMint("bot"), published("t4", 4, time.Hour), ruledOut(v1alpha1.RetirementIdle, 720*time.Hour))
	if c := Decide(o).condition(v1alpha1.ConditionReady); !strings.Contains(c.Message, "kubectl coder renew ci -n builds") {
		t.Errorf("Ready says %q", c.Message)
	}
}

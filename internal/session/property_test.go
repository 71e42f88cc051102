// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// properties hold for every observation. Each returns what is wrong; empty: nothing.
var properties = map[string]func(o Observation, p Plan) string{
	"decisions are deterministic and change nothing": func(o Observation, p Plan) string {
		before := o.Session.DeepCopy()
		same := reflect.DeepEqual(p, Decide(o)) && reflect.DeepEqual(before, o.Session)
		return failIf(!same, "it is another plan, or the session was changed")
	},
	"B09 what is suspended has a wake-up": func(_ Observation, p Plan) string {
		return failIf(reportsReady(p, "False", v1alpha1.ReasonSuspended) && p.RequeueAt.IsZero() && !p.Backoff, "no wake-up")
	},
	"a plan that does nothing says Ready, or keeps the status": func(_ Observation, p Plan) string {
		return failIf(
			p.Action == Nothing && !p.SkipStatusUpdate && !p.KeepStatus && p.findCondition(v1alpha1.ConditionReady) == nil,
			"Ready is missing",
		)
	},
	"no wake-up is over already": func(o Observation, p Plan) string {
		return failIf(p.Action == Nothing && !p.RequeueAt.IsZero() && !p.RequeueAt.After(o.Now), "it wakes at once")
	},
	"every condition has a reason, and none is set and removed": func(_ Observation, p Plan) string {
		for _, c := range p.Conditions {
			if c.Reason == "" || slices.Contains(p.ConditionsToRemove, c.Type) {
				return c.Type + " is not complete, or is removed too"
			}
		}
		return ""
	},
	"B94 messages hold no times that change": func(_ Observation, p Plan) string {
		for _, c := range p.Conditions {
			if strings.Contains(c.Message, "1.2s") {
				return c.Message
			}
		}
		return ""
	},
	"B07 SkipStatusUpdate changes no status": func(o Observation, p Plan) string {
		status := *o.Session.Status.DeepCopy()
		p.Apply(&status, 9, o.Now)
		if !p.SkipStatusUpdate {
			return ""
		}
		return diffStatus(o.Session.Status, status)
	},
	"B07 what is applied twice is applied once": func(o Observation, p Plan) string {
		once := *o.Session.Status.DeepCopy()
		p.Apply(&once, 9, o.Now)
		twice := storeStatus(once)
		p.Apply(&twice, 9, o.Now.Add(time.Hour))
		return diffStatus(once, twice)
	},
	"B54 the same observation gives the same conditions, in the same words": func(o Observation, p Plan) string {
		if p.Action != Nothing || p.SkipStatusUpdate {
			return ""
		}
		first := writeStatus(o, p, 0)
		next := o
		next.Session = o.Session.DeepCopy()
		next.Session.Status = first
		next.Now = o.Now.Add(time.Millisecond)
		q := Decide(next)
		if q.Action != Nothing || q.SkipStatusUpdate || summarizePlan(q) != summarizePlan(p) {
			return ""
		}
		return diffStatus(first, writeStatus(next, q, 0))
	},
	"B42 the published token is not revoked, nor pending unless all are revoked": func(o Observation, p Plan) string {
		if o.Secret.Token == nil {
			return ""
		}
		id := o.Secret.Token.ID
		listed := slices.ContainsFunc(
			p.PendingRevocations, func(t v1alpha1.PendingRevocation) bool { return t.ID == id },
		)
		revoked := slices.ContainsFunc(p.Revoke, func(t TokenRef) bool { return t.ID == id })
		return failIf(revoked || listed && !p.RevokeAll, "token "+id)
	},
	"B43 nothing is revoked before its time": func(o Observation, p Plan) string {
		if p.RevokeAll || !o.Session.DeletionTimestamp.IsZero() {
			return ""
		}
		for _, t := range o.Session.Status.PendingRevocations {
			first := slices.IndexFunc(
				o.Session.Status.PendingRevocations, func(r v1alpha1.PendingRevocation) bool { return r.ID == t.ID },
			)
			early := o.Session.Status.PendingRevocations[first].RevokeTime.After(o.Now)
			replaced := countLater(o, p) > 0 // only the last one that was replaced has time (B136)
			if early && !replaced && slices.ContainsFunc(p.Revoke, func(d TokenRef) bool { return d.ID == t.ID }) {
				return "token " + t.ID
			}
		}
		return ""
	},
	"B136 at most one token that was replaced stays valid": func(o Observation, p Plan) string {
		return failIf(countLater(o, p) > 1, "several are revoked later")
	},
	"nothing is revoked twice": func(o Observation, p Plan) string {
		for i, t := range p.Revoke {
			if slices.Contains(o.RevokedTokens, t.ID) || slices.Contains(p.Revoke[i+1:], t) {
				return "token " + t.ID
			}
		}
		return failIf(p.Action == Revoke && len(p.Revoke) == 0, "there is nothing to revoke")
	},
	"a token is minted only if everything allows it": func(o Observation, p Plan) string {
		d, u := o.Deployment, o.TargetUser
		deployment := d.Found && d.Result.OK() && !d.Settling && d.Problem == "" && d.Denied == "" && d.User != nil
		session := !o.Session.Spec.Paused && o.Session.DeletionTimestamp.IsZero() && !o.Secret.Foreign
		may := deployment && session && o.TemplateError == "" && o.SizeProblem == "" && o.lastFailure() == nil &&
			o.Failures.Of(failure.Observe) == nil &&
			u.Known && !u.Missing && !u.Suspended && u.User.Username == "bot" && len(o.Session.Finalizers) > 0
		return failIf(p.Action == Mint && !may, "it is minted")
	},
	"B41 no serial is minted twice": func(o Observation, p Plan) string {
		if p.Action != Mint {
			return ""
		}
		used := o.Secret.Token != nil && o.Secret.Token.Serial >= p.Mint.Serial ||
			o.Session.Status.Token != nil && o.Session.Status.Token.Serial >= p.Mint.Serial
		return failIf(
			used || p.Mint.Serial < 1 || p.Mint.Lifetime <= 0 || p.Mint.UserID != o.TargetUser.User.ID,
			"the request is wrong",
		)
	},
	"B48 a withRecordedUser user stays the one it is": func(o Observation, p Plan) string {
		was, mint := o.Session.Status.User, o.Session.Spec.Auth.Mint
		moved := o.Secret.Token.Minted() && !isSameServer(o.Secret.Token.SpecDigest, o.SpecDigest)
		return failIf(
			p.Action == Mint && !moved && was != nil && was.Username == mint.User && was.ID != p.Mint.UserID,
			"minted for another",
		)
	},
	"B08 while settings change no server is asked, and no failure is reported": func(o Observation, p Plan) string {
		asks := slices.Contains([]Action{LookUpUser, Mint, CheckCredential, Publish}, p.Action)
		bad := o.Deployment.Settling && (asks || reportsReady(p, "False", v1alpha1.ReasonSuspended))
		return failIf(bad && o.Session.Status.Suspension == nil, "it does "+string(p.Action))
	},
	"B15 a paused session asks nothing": func(o Observation, p Plan) string {
		free := o.Session.DeletionTimestamp.IsZero() && o.Deployment.Denied == "" && !IsRetired(o.Session, o.Retention)
		former := !o.method().mints() && (p.Action == Revoke || p.Action == DeleteSecret && o.Secret.Token.Minted())
		return failIf(o.Session.Spec.Paused && free && !former && p.Action != Nothing, "it does "+string(p.Action))
	},
	"the finalizer comes first, and then the real action": func(o Observation, p Plan) string {
		if p.Action != AddFinalizer {
			return failIf((p.Action == Mint || p.Action == Publish) && len(o.Session.Finalizers) == 0, "no finalizer")
		}
		next := o
		next.Session = o.Session.DeepCopy()
		next.Session.Finalizers = []string{v1alpha1.SessionFinalizer}
		do := Decide(next).Action
		return failIf(do != Mint && do != Publish, "it was for "+string(do))
	},
	"B40 no token is lost: what is removed is recorded": func(o Observation, p Plan) string {
		forced := !o.Session.DeletionTimestamp.IsZero()
		return failIf(
			(p.Action == DeleteSecret || p.Action == Mint && !o.Secret.ValueGone) && !forced && !o.isRecordedInStatus(),
			"status does not name the token",
		)
	},
	"what fails is not done again at once": func(o Observation, p Plan) string {
		return failIf(p.Action != Nothing && o.failureOf(p.Action) != nil, "it does "+string(p.Action))
	},
	"B27 nothing is removed for retention before status records it": func(o Observation, p Plan) string {
		begins := p.Action == Nothing && p.Retirement != nil && o.Session.Status.Retirement == nil
		removes := p.Action == DeleteSecret || p.Action == Revoke && p.RevokeAll
		for _, t := range p.PendingRevocations {
			removes = removes || o.isPublished(t.ID)
		}
		return failIf(begins && removes, "it does "+string(p.Action))
	},
	"B27 a retired session gets nothing until it is asked for": func(o Observation, p Plan) string {
		gets := slices.Contains([]Action{LookUpUser, Mint, Publish, CheckCredential, FindWorkspace}, p.Action)
		return failIf(IsRetired(o.Session, o.Retention) && (gets || p.isActive()), "it does "+string(p.Action))
	},
	"B27 a retirement ends with a credential, not before": func(o Observation, p Plan) string {
		ends := p.Action == Nothing && !p.SkipStatusUpdate && !p.KeepStatus && o.Session.Status.Retirement != nil &&
			p.Retirement == nil
		return failIf(ends && !p.isActive() && o.Session.Spec.Auth.Mint != nil, "it has none")
	},
	"a request is handled once, when there is what it asks for": func(o Observation, p Plan) string {
		updates := p.Action == Nothing && !p.SkipStatusUpdate && !p.KeepStatus
		handled := updates && p.HandledRenewalRequest != o.Session.Status.LastHandledRenewAt
		return failIf(
			handled && (!p.isActive() || p.HandledRenewalRequest != o.renewalRequest() || !o.method().isRenewalServed(o)),
			"handled is "+p.HandledRenewalRequest,
		)
	},
	"status can hold it": func(_ Observation, p Plan) string {
		return failIf(len(p.PendingRevocations) > maxPendingRevocations, "too many tokens")
	},
	"a token is published only when the server accepts it": func(o Observation, p Plan) string {
		supplied := o.Session.Spec.Auth.Token != nil && !o.SuppliedToken.Empty
		check := o.CredentialCheck
		accepted := check.Result.OK() && check.Credential == o.SuppliedToken.Fingerprint &&
			check.Settings == o.Deployment.Fingerprint
		return failIf(p.Action == Publish && supplied && !accepted, "it is published")
	},
}

func reportsReady(p Plan, status, reason string) bool {
	c := p.findCondition(v1alpha1.ConditionReady)
	return c != nil && string(c.Status) == status && c.Reason == reason
}

// summarize is what a plan says about Ready, Authenticated and revocation, to tell whether two are of
// one kind.
func summarizePlan(p Plan) string {
	summary := fmt.Sprint(p.RevokeAll)
	for _, conditionType := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionAuthenticated} {
		if c := p.findCondition(conditionType); c != nil {
			summary += string(c.Status) + c.Reason
		}
	}
	return summary
}

// written is the status that a plan results in.
func writeStatus(o Observation, p Plan, generation int64) v1alpha1.CoderSessionStatus {
	status := *o.Session.Status.DeepCopy()
	p.Apply(&status, generation, o.Now)
	return storeStatus(status)
}

// countLater is how many tokens are to be revoked later.
func countLater(o Observation, p Plan) int {
	later := 0
	for _, t := range p.PendingRevocations {
		if t.RevokeTime.After(o.Now) && !p.KeepStatus {
			later++
		}
	}
	return later
}

func failIf(bad bool, what string) string {
	if bad {
		return what
	}
	return ""
}

func checkProperties(t *testing.T, data []byte) Plan {
	t.Helper()
	source := choices(data)
	o := source.chooseObservation()
	p := Decide(o)
	for name, wrong := range properties {
		if what := wrong(o, p); what != "" {
			t.Fatalf("%s: %s\nplan: %+v\nobservation: %+v\nsession: %+v", name, what, outcomeOf(o, p), o, o.Session)
		}
	}
	return p
}

func TestProperties(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	did := map[Action]int{}
	for range 2000 {
		data := make([]byte, 96)
		for i := range data {
			data[i] = byte(random.UintN(256))
		}
		did[checkProperties(t, data).Action]++
	}
	// A property proves nothing about actions that never happen.
	for _, action := range []Action{
		Nothing, AddFinalizer, RemoveFinalizer, LookUpUser, Mint, CheckCredential, Publish, DeleteSecret, RetainSecret,
		FindLostToken, Revoke,
	} {
		if did[action] < 5 {
			t.Errorf("only %d of the plans do %q", did[action], action)
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a session that is minted for, in a steady state, with little that is out of order"))
	f.Fuzz(func(t *testing.T, data []byte) { checkProperties(t, data) })
}

package session

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/verdict"
)

// properties hold for every observation. Each returns what is wrong; empty: nothing.
var properties = map[string]func(o Observation, p Plan) string{
	"decisions are deterministic and change nothing": func(o Observation, p Plan) string {
		before := o.Session.DeepCopy()
		same := reflect.DeepEqual(p, Decide(o)) && reflect.DeepEqual(before, o.Session)
		return failIf(!same, "it is another one, or the session was changed")
	},
	"B09 what is suspended has a wake-up": func(_ Observation, p Plan) string {
		return failIf(says(p, "False", v1alpha1.ReasonSuspended) && p.Wake.IsZero() && !p.Backoff, "no wake-up")
	},
	"a plan that does nothing says Ready, or keeps the status": func(_ Observation, p Plan) string {
		return failIf(p.Do == Nothing && !p.Keep && p.condition(v1alpha1.ConditionReady) == nil, "Ready is not said")
	},
	"no wake-up is over already": func(o Observation, p Plan) string {
		return failIf(p.Do == Nothing && !p.Wake.IsZero() && !p.Wake.After(o.Now), "it wakes at once")
	},
	"every condition has a reason, and none is set and absent": func(_ Observation, p Plan) string {
		for _, c := range p.Conditions {
			if c.Reason == "" || slices.Contains(p.Absent, c.Type) {
				return c.Type + " is not complete, or is absent too"
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
	"B07 Keep changes no status": func(o Observation, p Plan) string {
		status := *o.Session.Status.DeepCopy()
		p.Apply(&status, 9, o.Now)
		if !p.Keep {
			return ""
		}
		return diffStatus(o.Session.Status, status)
	},
	"B07 what is applied twice is applied once": func(o Observation, p Plan) string {
		once := *o.Session.Status.DeepCopy()
		p.Apply(&once, 9, o.Now)
		twice := stored(once)
		p.Apply(&twice, 9, o.Now.Add(time.Hour))
		return diffStatus(once, twice)
	},
	"B54 what was said is said again, in the same words": func(o Observation, p Plan) string {
		if p.Do != Nothing || p.Keep {
			return ""
		}
		first := written(o, p, 0)
		next := o
		next.Session = o.Session.DeepCopy()
		next.Session.Status = first
		next.Now = o.Now.Add(time.Millisecond)
		q := Decide(next)
		if q.Do != Nothing || q.Keep || statusSaid(q) != statusSaid(p) {
			return ""
		}
		return diffStatus(first, written(next, q, 0))
	},
	"B42 what is published is not revoked, nor meant to be unless the session is stripped": func(o Observation, p Plan) string {
		if o.Secret.Token == nil {
			return ""
		}
		id := o.Secret.Token.ID
		meant := slices.ContainsFunc(p.Retiring, func(t v1alpha1.RetiringToken) bool { return t.ID == id })
		revoked := slices.ContainsFunc(p.Revoke, func(t Doomed) bool { return t.ID == id })
		return failIf(revoked || meant && !p.Strip, "token "+id)
	},
	"B43 nothing is revoked before its time": func(o Observation, p Plan) string {
		if p.Strip || !o.Session.DeletionTimestamp.IsZero() {
			return ""
		}
		for _, t := range o.Session.Status.Retiring {
			first := slices.IndexFunc(o.Session.Status.Retiring, func(r v1alpha1.RetiringToken) bool { return r.ID == t.ID })
			early := o.Session.Status.Retiring[first].RevokeAfter.After(o.Now)
			if early && slices.ContainsFunc(p.Revoke, func(d Doomed) bool { return d.ID == t.ID }) {
				return "token " + t.ID
			}
		}
		return ""
	},
	"nothing is revoked twice": func(o Observation, p Plan) string {
		for i, t := range p.Revoke {
			if slices.Contains(o.Revoked, t.ID) || slices.Contains(p.Revoke[i+1:], t) {
				return "token " + t.ID
			}
		}
		return failIf(p.Do == Revoke && len(p.Revoke) == 0, "there is nothing to revoke")
	},
	"a mint has every leave that it needs": func(o Observation, p Plan) string {
		d, u := o.Deployment, o.Target
		may := d.Found && d.Verdict.OK() && !d.Settling && d.Problem == "" && d.Denied == "" && d.User != nil && !o.Secret.Foreign &&
			!o.Session.Spec.Suspend && o.Session.DeletionTimestamp.IsZero() && o.Invalid == "" && (o.Failure == nil || o.Failure.Action == Revoke) &&
			u.Known && !u.Missing && !u.Suspended && u.User.Username == "bot" && len(o.Session.Finalizers) > 0
		return failIf(p.Do == Mint && !may, "it is minted")
	},
	"B41 no serial is minted twice": func(o Observation, p Plan) string {
		if p.Do != Mint {
			return ""
		}
		used := o.Secret.Token != nil && o.Secret.Token.Serial >= p.Mint.Serial ||
			o.Session.Status.Token != nil && o.Session.Status.Token.Serial >= p.Mint.Serial
		return failIf(used || p.Mint.Serial < 1 || p.Mint.Lifetime <= 0 || p.Mint.UserID != o.Target.User.ID, "the order is wrong")
	},
	"B48 a pinned user stays the one it is": func(o Observation, p Plan) string {
		was, mint := o.Session.Status.User, o.Session.Spec.Auth.Mint
		moved := o.Secret.Token.Minted() && !sameServer(o.Secret.Token.Request, o.Request)
		return failIf(p.Do == Mint && !moved && was != nil && was.Username == mint.User && was.ID != p.Mint.UserID, "minted for another")
	},
	"B08 while settings change no server is asked, and nothing that failed is said": func(o Observation, p Plan) string {
		asks := slices.Contains([]Action{LookUp, Mint, CheckCredential, Publish}, p.Do)
		bad := o.Deployment.Settling && (asks || says(p, "False", v1alpha1.ReasonSuspended))
		return failIf(bad && o.Session.Status.Suspension == nil, "it does "+string(p.Do))
	},
	"B15 a paused session asks nothing": func(o Observation, p Plan) string {
		free := o.Session.DeletionTimestamp.IsZero() && o.Deployment.Denied == ""
		return failIf(o.Session.Spec.Suspend && free && p.Do != Nothing, "it does "+string(p.Do))
	},
	"the finalizer comes first, and then the real action": func(o Observation, p Plan) string {
		if p.Do != AddFinalizer {
			return failIf((p.Do == Mint || p.Do == Publish) && len(o.Session.Finalizers) == 0, "no finalizer")
		}
		next := o
		next.Session = o.Session.DeepCopy()
		next.Session.Finalizers = []string{v1alpha1.SessionFinalizer}
		do := Decide(next).Do
		return failIf(do != Mint && do != Publish, "it was for "+string(do))
	},
	"B40 no token is lost: what is taken away is named": func(o Observation, p Plan) string {
		forced := !o.Session.DeletionTimestamp.IsZero()
		return failIf((p.Do == Withdraw || p.Do == Mint && !o.Secret.ValueGone) && !forced && !o.named(), "status does not name the token")
	},
	"what fails is not done again at once": func(o Observation, p Plan) string {
		return failIf(o.Failure != nil && o.Failure.Action == p.Do && o.Failure.Action == Revoke, "it does "+string(p.Do))
	},
	"B27 nothing is taken for retention that status does not tell of": func(o Observation, p Plan) string {
		begins := p.Do == Nothing && p.Retirement != nil && o.Session.Status.Retirement == nil
		takes := p.Do == Withdraw || p.Do == Revoke && p.Strip
		for _, t := range p.Retiring {
			takes = takes || o.publishes(t.ID)
		}
		return failIf(begins && takes, "it does "+string(p.Do))
	},
	"B27 a retired session that nobody wants gets nothing": func(o Observation, p Plan) string {
		gets := slices.Contains([]Action{LookUp, Mint, Publish, CheckCredential, FindWorkspace}, p.Do)
		return failIf(Resting(o.Session, o.Ruling) && (gets || p.isActive()), "it does "+string(p.Do))
	},
	"B27 a retirement ends with a credential, not before": func(o Observation, p Plan) string {
		ends := p.Do == Nothing && !p.Keep && o.Session.Status.Retirement != nil && p.Retirement == nil
		return failIf(ends && !p.isActive() && o.Session.Spec.Auth.Mint != nil, "it has none")
	},
	"a request is handled once, when there is what it asks for": func(o Observation, p Plan) string {
		handled := p.Do == Nothing && !p.Keep && p.Handled != o.Session.Status.LastHandledRenewAt
		return failIf(handled && (!p.isActive() || p.Handled != o.asked() || !o.renewed()), "handled is "+p.Handled)
	},
	"status can hold it": func(_ Observation, p Plan) string { return failIf(len(p.Retiring) > mostRetiring, "too many tokens") },
	"a token is published only when the server accepts it": func(o Observation, p Plan) string {
		supplied := o.Session.Spec.Auth.Token != nil && !o.Source.Empty
		return failIf(p.Do == Publish && supplied && (o.Check.Verdict.Outcome != verdict.Accepted || o.Check.Credential != o.Source.Fingerprint || o.Check.Settings != o.Deployment.Fingerprint), "it is published")
	},
}

func says(p Plan, status, reason string) bool {
	c := p.condition(v1alpha1.ConditionReady)
	return c != nil && string(c.Status) == status && c.Reason == reason
}

// statusSaid is what a plan says of Ready and Authenticated, by which two plans are of
// one kind.
func statusSaid(p Plan) string {
	said := ""
	for _, conditionType := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionAuthenticated} {
		if c := p.condition(conditionType); c != nil {
			said += string(c.Status) + c.Reason
		}
	}
	return said
}

// written is the status that comes of a plan.
func written(o Observation, p Plan, generation int64) v1alpha1.CoderSessionStatus {
	status := *o.Session.Status.DeepCopy()
	p.Apply(&status, generation, o.Now)
	return stored(status)
}

func failIf(bad bool, what string) string {
	if bad {
		return what
	}
	return ""
}

func holds(t *testing.T, data []byte) Plan {
	t.Helper()
	source := choices(data)
	o := source.observation()
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
		did[holds(t, data).Do]++
	}
	// A property says nothing about what never happens.
	for _, action := range []Action{
		Nothing, AddFinalizer, RemoveFinalizer, LookUp, Mint, CheckCredential, Publish, Withdraw, Release, Sweep, Revoke,
	} {
		if did[action] < 5 {
			t.Errorf("only %d of the plans do %q", did[action], action)
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a session that is minted for, in a steady state, with little that is out of order"))
	f.Fuzz(func(t *testing.T, data []byte) { holds(t, data) })
}

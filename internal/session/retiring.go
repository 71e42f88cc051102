package session

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// strip takes everything away from a session: first the Secret, so that no
// reader finds a dead token, then what was minted.
func strip(o Observation, reason, message string) Plan {
	p := notReady(reason, message)
	p.Strip = true
	p.Absent = append(p.Absent, v1alpha1.ConditionAuthenticated, v1alpha1.ConditionSecretSynced, v1alpha1.ConditionLifetimeCut)
	if f := o.Failure; f != nil {
		p.Backoff = true
		p.Wake = o.Now.Add(o.Deployment.interval())
	} else if o.Secret.Exists {
		p.Do = Withdraw
	}
	return p
}

// retiring lists the session's tokens that are to be revoked, each with its
// time: those that were noted before, the one that status still names although
// another is published, and what the server lists besides. A token with a serial
// above the published one was never published (a crash between minting and
// writing), so nobody can be using it.
func retiring(o Observation, now bool) []v1alpha1.RetiringToken {
	current := o.Secret.Token
	overlap := DefaultOverlap
	if o.Session.Spec.Rotation != nil {
		overlap = o.Session.Spec.Rotation.Overlap.Or(DefaultOverlap)
	}
	var list []v1alpha1.RetiringToken
	add := func(id, name string, after time.Time) {
		known := func(t v1alpha1.RetiringToken) bool { return t.ID == id }
		if id == "" || slices.Contains(o.Revoked, id) || slices.ContainsFunc(list, known) {
			return
		}
		if current != nil && current.ID == id && !now {
			return
		}
		if now && after.After(o.Now) {
			after = o.Now
		}
		// What is stored has whole seconds; rounding down would revoke early.
		if whole := after.Truncate(time.Second); whole.Before(after) && after.After(o.Now) {
			after = whole.Add(time.Second)
		}
		list = append(list, v1alpha1.RetiringToken{ID: id, Name: name, RevokeAfter: metav1.NewTime(after)})
	}
	for _, t := range o.Session.Status.Retiring {
		add(t.ID, t.Name, t.RevokeAfter.Time)
	}
	if was := o.Session.Status.Token; was != nil && was.Name != "" {
		add(was.ID, was.Name, o.Now.Add(overlap))
	}
	if now && current.Minted() {
		add(current.ID, "", o.Now)
	}
	for _, t := range o.Listing.Others {
		after := o.Now
		if current != nil && t.Serial < current.Serial {
			after = o.Now.Add(overlap)
		}
		add(t.ID, t.Name, after)
	}
	slices.SortFunc(list, func(a, b v1alpha1.RetiringToken) int {
		return cmp.Or(a.RevokeAfter.Compare(b.RevokeAfter.Time), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// revokeWhatIsDue makes revocation the plan's action when a token's time has
// come and the server can be asked, and else sees to it that the plan wakes then.
func revokeWhatIsDue(o Observation, p *Plan) {
	usable := o.Deployment.Found && !o.Deployment.Settling && o.Deployment.Verdict.OK()
	for _, t := range p.Retiring {
		switch {
		case t.RevokeAfter.After(o.Now):
			p.wakeAt(t.RevokeAfter.Time)
		case usable && o.Failure == nil:
			p.Do = Revoke
			p.Revoke = append(p.Revoke, Doomed{ID: t.ID, Name: t.Name})
		default:
			p.wakeAt(o.Now.Add(o.Deployment.interval()))
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package podsession

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Action is what to do about the session of a pod.
type Action string

// Actions.
const (
	Nothing Action = ""
	// Create creates the session.
	Create Action = "Create"
	// Update gives it the spec and the renewal request of its parent.
	Update Action = "Update"
	// Delete deletes it: its pod has ended, or its parent is gone.
	Delete Action = "Delete"
)

// Observation is what is known about one name that the session of a pod may have.
type Observation struct {
	Now time.Time
	// Pods that ask for a session of this name and have not ended, oldest first. More than one is a
	// mistake: the annotation was copied.
	Pods []Pod
	// Session of this name. Nil: there is none.
	Session *v1alpha1.CoderSession
	// OwnerLives is true if the session belongs to a pod that asks for it, of the parent that the session
	// names, and that has not ended.
	OwnerLives bool
	// Parent is the session with perPod. Nil: there is none.
	Parent *v1alpha1.CoderSession
	// OtherOperator is true if the parent may belong to another operator, which looks after other sessions
	// of the same namespace.
	OtherOperator bool
	// Skew is how far the server's clock is ahead.
	Skew time.Duration
	// RenewalTime is when the renewal request of the parent is passed on to the session, so that not all are
	// renewed at once; zero: now.
	RenewalTime time.Time
	// Live is how many pods of the parent have a session that is not being deleted, Ahead how many older
	// ones wait for theirs.
	Live, Ahead int
}

// Plan is what to do.
type Plan struct {
	Action Action
	// Pod that the session is created for.
	Pod Pod
	// Spec of the session, for Create and Update.
	Spec v1alpha1.CoderSessionSpec
	// RenewalRequest is the value of the annotation renew-requested-at; empty: none.
	RenewalRequest string
	// Refused pods get no session for the reason in Refusal.
	Refused []Pod
	Refusal string
	// RequeueAt is when to look again without an event; zero: never.
	RequeueAt time.Time
}

// updateLead is how long before its next rotation a session takes over a changed spec.
const updateLead = time.Minute

// longestSleep is the longest time until a name is looked at again for a change that is due at a known
// time: the clock may be set, or the machine sleep (B115).
const longestSleep = 5 * time.Minute

// Decide returns what to do. It is deterministic and safe for concurrent use.
func Decide(o Observation) Plan {
	switch s := o.Session; {
	case s == nil && (len(o.Pods) == 0 || o.OtherOperator):
		return Plan{}
	case s == nil:
		return decideCreation(o)
	case !IsOfPod(s):
		return refuse(o.Pods, fmt.Sprintf("CoderSession %q exists and was not made for a pod: delete the pod, "+
			"so that another one gets another name", s.Name))
	case s.DeletionTimestamp != nil:
		return Plan{} // its end is the next event
	case !o.OwnerLives, IsGone(o.Parent), isOfFormerParent(s, o.Parent):
		return Plan{Action: Delete}
	}
	return withCopies(o, decideUpdate(o))
}

// decideCreation decides about the oldest of the pods without a session.
func decideCreation(o Observation) Plan {
	parent := o.Parent
	switch {
	case IsGone(parent):
		return refuse(o.Pods, "its CoderSession does not exist or is being deleted: create it, and the pod again")
	case parent.Spec.PerPod == nil:
		return refuse(o.Pods, fmt.Sprintf("CoderSession %q no longer gives each pod a token: create the pod again, "+
			"and it gets the Secret of the session", parent.Name))
	case parent.Spec.Paused:
		return refuse(o.Pods, fmt.Sprintf("CoderSession %q is paused: set spec.paused to false", parent.Name))
	case o.Live+o.Ahead >= parent.Spec.PerPod.Limit():
		return refuse(o.Pods, fmt.Sprintf("CoderSession %q serves as many pods as it may (perPod.maxPods is %d): "+
			"the pod is served when others have ended, or when you raise that", parent.Name, parent.Spec.PerPod.Limit()))
	}
	return withCopies(o, Plan{
		Action: Create, Pod: o.Pods[0], Spec: SpecFor(parent), RenewalRequest: parent.RenewalRequest(),
	})
}

// decideUpdate gives a session the spec of its parent at its next rotation, so that a change of the parent does
// not replace the tokens of all pods at once. Nor does a request for renewal, which is passed on at the time
// that is given for that. If the parent has no perPod any more, running pods keep what they have: its spec may
// now say what is not meant for them.
func decideUpdate(o Observation) Plan {
	s, spec, request := o.Session, SpecFor(o.Parent), o.Parent.RenewalRequest()
	if o.Parent.Spec.PerPod == nil {
		spec = s.Spec
	}
	update := Plan{Action: Update, Spec: spec, RenewalRequest: request}
	if AwaitsRenewal(o) {
		if o.Now.Before(o.RenewalTime) {
			return Plan{RequeueAt: o.RenewalTime}
		}
		return update
	}
	if equality.Semantic.DeepEqual(spec, s.Spec) {
		return Plan{}
	}
	next := s.Status.NextRefreshTime
	if next == nil {
		return update
	}
	due := next.Add(-updateLead - o.Skew)
	if !o.Now.Before(due) {
		return update
	}
	if latest := o.Now.Add(longestSleep); due.After(latest) {
		due = latest
	}
	return Plan{RequeueAt: due}
}

// AwaitsRenewal reports whether a renewal was requested of the parent, and not of the session of a pod yet.
func AwaitsRenewal(o Observation) bool {
	if o.Session == nil || o.Parent == nil {
		return false
	}
	request := o.Parent.RenewalRequest()
	return request != "" && request != o.Session.RenewalRequest()
}

// withCopies refuses all pods that name the session of another pod.
func withCopies(o Observation, p Plan) Plan {
	has := p.Pod.UID
	if o.Session != nil {
		has = ownerUID(o.Session)
	}
	for _, pod := range o.Pods {
		if pod.UID != has {
			p.Refused = append(p.Refused, pod)
		}
	}
	if len(p.Refused) > 0 {
		p.Refusal = fmt.Sprintf("another pod has the name in its annotation %s: the operator writes that annotation, "+
			"so remove it from what the pod was created from", v1alpha1.AnnotationPodSession)
	}
	return p
}

// refuse refuses pods; without any there is nothing to say.
func refuse(pods []Pod, why string) Plan {
	if len(pods) == 0 {
		return Plan{}
	}
	return Plan{Refused: pods, Refusal: why}
}

// IsGone reports whether a parent serves no pods, and ends those that it has served: there is none, or it is
// being deleted.
func IsGone(parent *v1alpha1.CoderSession) bool {
	return parent == nil || parent.DeletionTimestamp != nil
}

// isOfFormerParent reports whether a session was created for another parent of the same name, which was
// deleted since. It ends as it would have with that, and the pod gets another session if it still may have one.
func isOfFormerParent(s, parent *v1alpha1.CoderSession) bool {
	recorded := s.Annotations[v1alpha1.AnnotationParentUID]
	return recorded != "" && recorded != string(parent.UID) || s.DeploymentKey() != parent.DeploymentKey()
}

// SpecFor returns the spec of the session of a pod.
func SpecFor(parent *v1alpha1.CoderSession) v1alpha1.CoderSessionSpec {
	spec := *parent.Spec.DeepCopy()
	spec.PerPod, spec.Paused = nil, false
	return spec
}

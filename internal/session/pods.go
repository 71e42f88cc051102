// SPDX-License-Identifier: Apache-2.0

package session

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Pods is what is known of the pods of a session with perPod. The zero value is for other sessions.
type Pods struct {
	// Enabled is true if the operator serves pods.
	Enabled bool
	Counts  v1alpha1.PodCounts
	// Refusal is why the API server takes no sessions of pods; empty: it does. All that wait are counted as
	// refused then.
	Refusal string
}

// podsMethod is auth.mint with perPod: the session has no credential itself, its pods have.
type podsMethod struct{}

func (podsMethod) decide(o Observation) Plan { return decidePods(o) }

func (podsMethod) replacement(Observation) (due, end time.Time) { return time.Time{}, time.Time{} }

// isRenewalServed is always true: the request is passed on to the sessions of the pods.
func (podsMethod) isRenewalServed(Observation) bool { return true }

func (podsMethod) mints() bool { return false }

func (podsMethod) credential(Observation) (string, bool) { return "", false }

func (podsMethod) keepsGrant() bool { return false }

func (podsMethod) limits(Observation) limits { return limits{} }

func (podsMethod) refusalMessage(_ Observation, why string) string { return why }

// decidePods decides for a session with perPod. What it published before it had perPod is removed and
// revoked. It is Ready if pods can be served.
func decidePods(o Observation) Plan {
	if !o.Pods.Enabled {
		return configInvalid(o, "this operator does not serve pods: install it with webhook.perPod "+
			"(--pod-sessions), or remove perPod")
	}
	if p, waits := awaitMinting(o); waits {
		p.RevokeAll = true
		return p
	}
	if o.pinnedUser() == nil {
		if p := replaceToken(o); p.Action != Mint && p.Action != TryPublish {
			return p // the user is looked up, or is not there
		}
	}
	p := revokeEverything(o, v1alpha1.ReasonVerifying, "the Secret that pods shared until now is being deleted")
	if o.Secret.Exists {
		return p
	}
	p.User = o.pinnedUser()
	p.setCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServingPods,
		"each pod that asks for this session gets a token of its own")
	p.requeueBy(o.Now.Add(o.Deployment.VerifyInterval()))
	return p
}

// setPodCounts adds what status says about the pods of a session with perPod.
func setPodCounts(o Observation, p *Plan) {
	if o.Session.Spec.PerPod == nil {
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionPodsServed)
		return
	}
	p.Pods = o.Pods.Counts.DeepCopy()
	switch {
	case p.Pods.Refused == 0:
		p.setCondition(v1alpha1.ConditionPodsServed, metav1.ConditionTrue, v1alpha1.ReasonAllPodsServed,
			"no pod waits for a token of its own")
	case o.Session.Spec.Paused:
		p.setCondition(v1alpha1.ConditionPodsServed, metav1.ConditionFalse, v1alpha1.ReasonPaused,
			"pods wait for a token of their own: set spec.paused to false")
	case o.Pods.Refusal != "" && int(p.Pods.Live) < o.Session.Spec.PerPod.Limit():
		p.setCondition(v1alpha1.ConditionPodsServed, metav1.ConditionFalse, v1alpha1.ReasonAPIServerRefused,
			"pods wait for a token of their own, because their CoderSessions cannot be created: "+o.Pods.Refusal)
	default:
		p.setCondition(v1alpha1.ConditionPodsServed, metav1.ConditionFalse, v1alpha1.ReasonPodLimitReached,
			"as many pods have a token as perPod.maxPods allows, and more wait: raise it, or wait until some have ended")
	}
}

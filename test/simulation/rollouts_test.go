// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// kindWorkload is the kind of the workloads that sessions restart.
const kindWorkload = "Deployment"

var simWorkloads = []string{"web", "api"}

// simRollout is a workload with the tokens that its pods use.
type simRollout struct {
	tokens []string
	// stuck means that its pods do not become available.
	stuck bool
	begun time.Time
}

var rolloutEvents = []string{
	"a rollout", "a rollout is stuck", "a workload is deleted in a rollout",
	"a workload is deleted", "a workload is created",
}

var rolloutChanges = []func(*simWorld){
	(*simWorld).stickRollout, (*simWorld).stickRollout, (*simWorld).freeRollouts, (*simWorld).deleteWorkload,
	(*simWorld).createWorkloads, (*simWorld).createWorkloads, (*simWorld).renewRolled, (*simWorld).renewRolled,
}

func workload(name string) ref { return ref{kindWorkload, key("coder", name)} }

func restarts() (targets []v1alpha1.RestartTarget) {
	for _, name := range simWorkloads {
		targets = append(targets, v1alpha1.RestartTarget{Kind: kindWorkload, Name: v1alpha1.ObjectName(name)})
	}
	return targets
}

// createWorkloads creates the workloads that do not exist.
func (w *simWorld) createWorkloads() {
	for _, name := range simWorkloads {
		if w.api.objects[workload(name)] != nil {
			continue
		}
		w.tracef("* workload %s is created", name)
		w.happens("a workload is created")
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: name}}
		d.Spec.Replicas = ptr.To[int32](2)
		w.put(d)
		w.rollouts[name] = &simRollout{}
		w.finishRollout(name)
	}
}

func (w *simWorld) deleteWorkload() {
	name := pick(w, simWorkloads)
	for _, other := range simWorkloads { // one that is being rolled out is rare
		if d, ok := w.api.objects[workload(other)].(*appsv1.Deployment); ok && d.Status.UpdatedReplicas < 2 {
			name = other
		}
	}
	if d, ok := w.api.objects[workload(name)].(*appsv1.Deployment); ok {
		w.tracef("* workload %s is deleted", name)
		w.happens("a workload is deleted")
		if d.Status.UpdatedReplicas < 2 {
			w.happens("a workload is deleted in a rollout")
		}
		_ = w.api.remove(refOf(d), nil)
		delete(w.rollouts, name)
	}
}

func (w *simWorld) stickRollout() {
	if r := w.rollouts[pick(w, simWorkloads)]; r != nil {
		r.stuck = true
	}
}

// freeRollouts lets rollouts that are stuck continue.
func (w *simWorld) freeRollouts() {
	for _, name := range simWorkloads {
		if r := w.rollouts[name]; r != nil && r.stuck {
			w.tracef("* workload %s is no longer stuck", name)
			r.stuck = false
			w.at(time.Second, func() { w.finishRollout(name) })
		}
	}
}

// renewRolled requests a new credential for the session that restarts workloads.
func (w *simWorld) renewRolled() {
	if s, ok := w.api.objects[ref{kindSession, key("coder", "roll")}].(*v1alpha1.CoderSession); ok {
		w.ask(s)
	}
}

// publishedToRolled is the token that a pod that starts now gets.
func (w *simWorld) publishedToRolled() string {
	secret, _ := w.api.objects[ref{kindSecret, key("coder", "roll")}].(*corev1.Secret)
	if secret == nil {
		return ""
	}
	return idOf(string(secret.Data["session"]))
}

// rollOut begins the rollout of a workload that the operator has restarted.
func (w *simWorld) rollOut(name string) {
	r := w.rollouts[name]
	w.happens("a rollout")
	r.begun = w.clock.Now()
	w.at(w.jitter(5*time.Second), func() {
		w.step(name, r, func(d *appsv1.Deployment) {
			r.tokens = append(r.tokens, w.publishedToRolled())
			d.Status.ObservedGeneration, d.Status.UpdatedReplicas, d.Status.Replicas = d.Generation, 1, 3
		})
	})
	w.at(5*time.Second+w.jitter(time.Minute), func() {
		if !r.stuck {
			w.finishRollout(name)
			return
		}
		w.step(name, r, func(d *appsv1.Deployment) {
			w.happens("a rollout is stuck")
			d.Status.Conditions = []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse},
			}
		})
	})
}

// step changes the status of a workload, unless it was replaced.
func (w *simWorld) step(name string, r *simRollout, change func(*appsv1.Deployment)) {
	if w.rollouts[name] == r {
		w.tracef("* workload %s is rolled out", name)
		_ = edit(w, workload(name), change)
	}
}

// finishRollout replaces all pods of a workload.
func (w *simWorld) finishRollout(name string) {
	r := w.rollouts[name]
	if r == nil {
		return
	}
	w.step(name, r, func(d *appsv1.Deployment) {
		r.tokens = []string{w.publishedToRolled()}
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2,
		}
	})
}

// judgeRollout begins the rollout that a write of the operator causes.
func (w *simWorld) judgeRollout(before, after *appsv1.Deployment) {
	annotation := v1alpha1.AnnotationRestartPrefix + "roll"
	was, is := before.Spec.Template.Annotations[annotation], after.Spec.Template.Annotations[annotation]
	if was == is {
		w.fail("B43: workload %s is restarted for the credential that it has", after.Name)
	}
	w.rollOut(after.Name)
}

// judgeReaders checks that a token that is revoked is not used by pods that have yet to be
// restarted (B43).
func (w *simWorld) judgeReaders(id string) {
	s, ok := w.api.objects[ref{kindSession, key("coder", "roll")}].(*v1alpha1.CoderSession)
	if !ok || s.DeletionTimestamp != nil || reasonOfSession(s) != v1alpha1.ReasonActive {
		return
	}
	known := s.Status.Token != nil && s.Status.Token.ID == w.publishedToRolled()
	for _, name := range simWorkloads {
		if r := w.rollouts[name]; r != nil && known && slices.Contains(r.tokens, id) {
			w.fail("B43: token %s was revoked while workload %s uses it", id, name)
		}
	}
}

// rolls reports whether a session has to do with a rollout that began a short time ago.
func (w *simWorld) rolls(s *v1alpha1.CoderSession) bool {
	if s == nil || len(s.Spec.Restart) == 0 {
		return false
	}
	since := w.rotated[client.ObjectKeyFromObject(s)]
	return !since.IsZero() && w.clock.Now().Sub(since) < 20*time.Minute
}

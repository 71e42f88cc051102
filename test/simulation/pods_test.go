// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

const (
	kindPod = "Pod"
	// simParent is the session with perPod, simPodLimit the highest limit that it gets.
	simParent   = "coder/each"
	simPodLimit = 4
	// podFinalizer keeps a pod that is being deleted until its containers have ended.
	podFinalizer = "simulation/kubelet"
)

// simPods is about pods that have a token of their own.
type simPods struct {
	created int
	// limits that the parent had until the given times. The operator may not know of a change yet.
	limits []formerLimit
	// published is where each token was published first, by the token's id.
	published map[string]types.NamespacedName
	// told is which operator has last said in a steady state that a pod is not served.
	told map[ref]*simOperator
}

// toldAgain reports whether in a steady state an operator says of a pod for the second time that it is not
// served. One that was restarted says so once more.
func (w *simWorld) toldAgain(pod ref) bool {
	if !w.steadily {
		return false
	}
	by := w.podded.told[pod]
	w.podded.told[pod] = w.operator
	return by == w.operator
}

type formerLimit struct {
	limit int
	until time.Time
}

func newSimPods() simPods {
	return simPods{published: map[string]types.NamespacedName{}, told: map[ref]*simOperator{}}
}

var podEvents = []string{
	"a pod is created", "a pod ends", "a pod is deleted", "a pod is copied", "a limit is changed", "perPod is removed",
}

// podChanges are the events about pods.
var podChanges = []func(*simWorld){
	(*simWorld).createPod, (*simWorld).createPod, (*simWorld).createPod, (*simWorld).createPod,
	(*simWorld).endPod, (*simWorld).endPod, (*simWorld).deletePod, (*simWorld).deletePod,
	(*simWorld).copyPod, (*simWorld).changeParent, (*simWorld).changeParent,
}

// parent returns the session with perPod; nil: there is none.
func (w *simWorld) parent() *v1alpha1.CoderSession {
	s, _ := w.api.objects[ref{kindSession, key("coder", "each")}].(*v1alpha1.CoderSession)
	return s
}

// pods lists the pods that have not ended.
func (w *simWorld) pods() (found []*corev1.Pod) {
	for _, r := range sortedRefs(w.api.objects) {
		if pod, ok := w.api.objects[r].(*corev1.Pod); ok && !podsession.HasEnded(pod) {
			found = append(found, pod)
		}
	}
	return found
}

// podSessions lists the sessions of pods.
func (w *simWorld) podSessions() []*v1alpha1.CoderSession {
	return slices.DeleteFunc(w.sessions(), func(s *v1alpha1.CoderSession) bool { return !podsession.IsOfPod(s) })
}

// editable lists the sessions that people write.
func (w *simWorld) editable() []*v1alpha1.CoderSession {
	return slices.DeleteFunc(w.sessions(), podsession.IsOfPod)
}

// putPod creates a pod as the webhook leaves it, with the name of a session.
func (w *simWorld) putPod(session string) *corev1.Pod {
	w.podded.created++
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "coder", Name: fmt.Sprintf("pod-%03d", w.podded.created),
		Labels:      map[string]string{v1alpha1.LabelParent: "each"},
		Annotations: map[string]string{v1alpha1.AnnotationPodSession: session},
	}}
	if w.rng.IntN(2) == 0 {
		pod.Finalizers = []string{podFinalizer}
	}
	w.put(pod)
	return pod
}

// randomBytes reads the random numbers of a schedule.
type randomBytes struct{ from *rand.Rand }

func (r randomBytes) Read(into []byte) (int, error) {
	for i := range into {
		into[i] = byte(r.from.UintN(256))
	}
	return len(into), nil
}

func (w *simWorld) createPod() {
	name, _ := podsession.NewName(randomBytes{w.rng}, "each") // these numbers do not end
	w.happens("a pod is created")
	w.tracef("* pod %d is created with session %s", w.podded.created+1, name)
	w.putPod(name)
}

// copyPod creates a pod with the annotations of another one, past the webhook.
func (w *simWorld) copyPod() {
	if pods := w.pods(); len(pods) > 0 {
		name := podsession.SessionName(pick(w, pods))
		w.happens("a pod is copied")
		w.tracef("* pod %d is created with session %s of another one", w.podded.created+1, name)
		w.putPod(name)
	}
}

func (w *simWorld) endPod() {
	if pods := w.pods(); len(pods) > 0 {
		w.end(pick(w, pods))
	}
}

// end makes a pod succeed or fail, which is the end of one that is being deleted.
func (w *simWorld) end(pod *corev1.Pod) {
	phase := pick(w, []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed})
	w.happens("a pod ends")
	w.tracef("* pod %s: %s", pod.Name, phase)
	_ = edit(w, refOf(pod), func(p *corev1.Pod) {
		if p.Status.Phase = phase; p.DeletionTimestamp != nil {
			p.Finalizers = nil
		}
	})
}

func (w *simWorld) deletePod() {
	if pods := w.pods(); len(pods) > 0 {
		pod := pick(w, pods)
		w.happens("a pod is deleted")
		w.tracef("* pod %s is deleted", pod.Name)
		_ = w.api.remove(refOf(pod), nil)
	}
}

// changeParent changes the limit of the parent, removes perPod or adds it again.
func (w *simWorld) changeParent() {
	if s := w.parent(); s != nil {
		if s.Spec.PerPod != nil && w.rng.IntN(6) == 0 {
			w.happens("perPod is removed")
			w.setLimit(0)
			return
		}
		w.happens("a limit is changed")
		w.setLimit(int32(1 + w.rng.IntN(simPodLimit)))
	}
}

// setLimit sets the limit of the parent; 0 removes perPod.
func (w *simWorld) setLimit(limit int32) {
	_ = edit(w, refOf(w.parent()), func(s *v1alpha1.CoderSession) {
		if s.Spec.PerPod != nil {
			w.podded.limits = append(w.podded.limits, formerLimit{s.Spec.PerPod.Limit(), w.clock.Now()})
		}
		w.tracef("* the limit of %s becomes %d", simParent, limit)
		if s.Spec.PerPod = nil; limit == 0 {
			return
		}
		s.Spec.PerPod = &v1alpha1.PerPod{MaxPods: limit}
		if s.Spec.Secret != nil {
			s.Spec.Secret.DeletionPolicy = "" // the API server refuses perPod with Retain
		}
	})
}

// healPods ends what is being deleted, and repairs the parent. A request for renewal makes the sessions of
// pods take over what has changed.
func (w *simWorld) healPods() {
	for _, pod := range w.pods() {
		if pod.DeletionTimestamp != nil {
			w.end(pod)
		}
	}
	for _, pod := range w.pods() { // also those whose session is gone and comes again
		secret, found := w.api.objects[ref{kindSecret, key(pod.Namespace, podsession.SessionName(pod))}].(*corev1.Secret)
		if found && len(secret.OwnerReferences) == 0 {
			_ = w.api.remove(refOf(secret), nil)
		}
	}
	s := w.parent()
	if s == nil {
		return
	}
	w.setLimit(simPodLimit)
	w.wishes++
	_ = edit(w, refOf(s), func(s *v1alpha1.CoderSession) {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationRenewRequestedAt, fmt.Sprint("heal-", w.wishes))
	})
}

// judgeCreation checks that the operator creates sessions for pods only, and not more than the limit.
func (w *simWorld) judgeCreation(s *v1alpha1.CoderSession) {
	if !podsession.IsOfPod(s) {
		w.fail("B153: the operator creates session %s, which is of no pod", s.Name)
		return
	}
	limit := 0
	if parent := w.parent(); parent != nil && parent.Spec.PerPod != nil {
		limit = parent.Spec.PerPod.Limit()
	}
	for _, former := range w.podded.limits {
		if w.clock.Now().Sub(former.until) < 2*time.Minute {
			limit = max(limit, former.limit)
		}
	}
	live := 0
	for _, other := range w.podSessions() {
		if other.DeletionTimestamp == nil {
			live++
		}
	}
	if limit > 0 && live > limit {
		w.fail("B153: %d pods have a session, want %d at most", live, limit)
	}
}

// judgePublished checks that no token is published twice (B150).
func (w *simWorld) judgePublished(secret *corev1.Secret, id string) {
	at := key(secret.Namespace, secret.Name)
	first, known := w.podded.published[id]
	if known && first != at && w.tokens[id] != nil && w.mints[w.tokens[id].name] > 0 {
		w.fail("B150: token %s is published in Secret %s and in %s", id, first, at)
	}
	w.podded.published[id] = at
}

// settledParent checks a session with perPod, which publishes nothing itself.
func (w *simWorld) settledParent(s *v1alpha1.CoderSession) {
	switch {
	case reasonOfSession(s) != v1alpha1.ReasonServingPods:
		w.fail("session %s does not recover: %s", s.Name, encoded(s.Status.Conditions))
	case w.secretOf(s) != nil && metav1.IsControlledBy(w.secretOf(s), s):
		w.fail("session %s has perPod and a Secret", s.Name)
	case s.Status.Token != nil || len(s.Status.PendingRevocations) > 0:
		w.fail("session %s has perPod and tokens: %s", s.Name, encoded(s.Status))
	}
}

// settledPods checks that each pod is served that has a place, that each session belongs to one of them,
// and that the parent counts them (B150, B151, B154).
func (w *simWorld) settledPods() {
	if !w.features.pods {
		return
	}
	names := map[string]bool{}
	live := map[types.UID]*corev1.Pod{}
	for _, pod := range w.pods() {
		live[pod.UID] = pod
		names[podsession.SessionName(pod)] = true
	}
	sessions := w.podSessions()
	for _, s := range sessions {
		pod := live[podsession.Owner(s).UID]
		switch {
		case pod == nil:
			w.fail("B151: session %s is of a pod that has ended: %s", s.Name, encoded(s.Status))
		case podsession.SessionName(pod) != s.Name:
			w.fail("B150: session %s is of pod %s, which has another one", s.Name, pod.Name)
		case s.DeletionTimestamp != nil:
			w.fail("session %s does not go: %s", s.Name, encoded(s.Status))
		}
	}
	want, parent := 0, w.parent()
	if parent != nil && parent.Spec.PerPod != nil {
		want = min(len(names), parent.Spec.PerPod.Limit())
		refused := len(names) - want
		if c := parent.Status.Pods; c == nil || int(c.Live) != want || int(c.Refused) != refused || c.Ended != 0 {
			w.fail("session %s counts %+v, want %d live pods and %d that wait", parent.Name, c, want, refused)
		}
	}
	if len(sessions) != want && len(w.problems) == 0 {
		w.fail("B150: %d pods have a session, want %d of %d", len(sessions), want, len(names))
	}
}

// podComesAndGoes checks how soon an idle operator serves a pod, and that nothing is left of it five seconds
// after it has ended (B150, B151).
func (w *simWorld) podComesAndGoes() {
	w.setLimit(100) // there is room
	if !w.rests() {
		return
	}
	w.createPod()
	pod := w.pods()[len(w.pods())-1]
	own := ref{kindSession, key(pod.Namespace, podsession.SessionName(pod))}
	w.run(5 * time.Second)
	s, _ := w.api.objects[own].(*v1alpha1.CoderSession)
	if s == nil || reasonOfSession(s) != v1alpha1.ReasonActive {
		w.fail("B150: pod %s is not served: %s", pod.Name, encoded(s))
		return
	}
	id := s.Status.Token.ID
	if w.rng.IntN(2) == 0 {
		w.end(pod)
	} else {
		_ = w.api.remove(refOf(pod), nil)
		_ = edit(w, refOf(pod), func(p *corev1.Pod) { p.Finalizers = nil })
	}
	if w.rng.IntN(2) == 0 {
		w.restart()
	}
	w.run(5 * time.Second)
	if w.api.objects[own] != nil || w.lives(id) {
		w.fail("B151: 5 s after its end, pod %s has a session %t, a live token %t", pod.Name,
			w.api.objects[own] != nil, w.lives(id))
	}
}

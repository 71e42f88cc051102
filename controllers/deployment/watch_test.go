// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
)

// countedQueue counts the passes that a work queue would start. Of several times for one object the earliest
// counts, as in the queue of a controller.
type countedQueue struct {
	reconcile.WorkQueue
	now    time.Duration
	due    map[ctrl.Request]time.Duration
	passes int
}

func (q *countedQueue) Add(ctrl.Request) { q.passes++ }

func (q *countedQueue) AddAfter(r ctrl.Request, after time.Duration) {
	if at, waits := q.due[r]; !waits || q.now+after < at {
		q.due[r] = q.now + after
	}
}

// advance lets time go by, and starts the passes that are due then.
func (q *countedQueue) advance(d time.Duration) {
	q.now += d
	for r, at := range q.due {
		if at <= q.now {
			delete(q.due, r)
			q.passes++
		}
	}
}

// B161: 300 sessions that are created, change or are deleted within five seconds cause a pass over their
// deployment, and so a write of its status, once a second, and the last change causes one, too.
func TestManySessionsCauseOnePassASecond(t *testing.T) {
	t.Parallel()
	on := onSessionOf()
	for name, deliver := range map[string]func(*v1alpha1.CoderSession, *countedQueue){
		"created": func(s *v1alpha1.CoderSession, q *countedQueue) {
			on.Create(t.Context(), event.CreateEvent{Object: s}, q)
		},
		"changed": func(s *v1alpha1.CoderSession, q *countedQueue) {
			on.Update(t.Context(), event.UpdateEvent{ObjectOld: s, ObjectNew: s}, q)
		},
		"deleted": func(s *v1alpha1.CoderSession, q *countedQueue) {
			on.Delete(t.Context(), event.DeleteEvent{Object: s}, q)
		},
	} {
		q := &countedQueue{due: map[ctrl.Request]time.Duration{}}
		for i := range 300 {
			s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: fmt.Sprint(i)}}
			s.Spec.DeploymentRef.Name = "prod"
			deliver(s, q)
			q.advance(16 * time.Millisecond)
		}
		during := q.passes
		q.advance(coalesceDelay)
		if during != 4 || q.passes != 5 {
			t.Errorf("%s: %d passes in 4.8 s, and %d in the second after", name, during, q.passes-during)
		}
	}
}

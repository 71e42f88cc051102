// SPDX-License-Identifier: Apache-2.0

package fairqueue

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// tenant is a namespace with objects that wait.
type tenant struct {
	turn        uint64 // the last one that it had since it began to wait; 0: none
	deployments map[types.NamespacedName]*waitingLists
}

// maxPriority is the highest priority; the lowest is 0.
const maxPriority = 2

// waitingLists holds the objects of one share that wait for a worker, by priority, in order of arrival.
// An object is in one list only.
type waitingLists struct {
	turn  uint64 // as that of a tenant
	lists [maxPriority + 1][]types.NamespacedName
	known map[types.NamespacedName]waiter
	// deleted is how many of them are being deleted, so that not all that wait are looked at for each worker.
	deleted int
}

type waiter struct {
	priority int
	deleted  bool
}

// wait records that an object waits.
func (q *Queue) wait(o Object) {
	s := o.share()
	t := q.waiting[s.namespace]
	if t == nil {
		t = &tenant{deployments: map[types.NamespacedName]*waitingLists{}}
		q.waiting[s.namespace] = t
	}
	l := t.deployments[s.deployment]
	if l == nil {
		l = &waitingLists{known: map[types.NamespacedName]waiter{}}
		t.deployments[s.deployment] = l
	}
	priority := min(max(o.Priority, 0), maxPriority)
	l.known[o.Key] = waiter{priority, o.Deleted}
	if o.Deleted {
		l.deleted++
	}
	l.lists[priority] = append(l.lists[priority], o.Key)
}

func (q *Queue) isWaiting(key types.NamespacedName) bool {
	_, found := q.shareOf(key)
	return found
}

// shareOf finds an object that waits. A namespace has few deployments.
func (q *Queue) shareOf(key types.NamespacedName) (share, bool) {
	t := q.waiting[key.Namespace]
	if t == nil {
		return share{}, false
	}
	for deployment, l := range t.deployments {
		if _, waits := l.known[key]; waits {
			return share{key.Namespace, deployment}, true
		}
	}
	return share{}, false
}

// remove removes an object that waits, if it does.
func (q *Queue) remove(key types.NamespacedName) {
	if s, found := q.shareOf(key); found {
		q.drop(s, key)
	}
}

// drop removes an object that waits in a share.
func (q *Queue) drop(s share, key types.NamespacedName) {
	t := q.waiting[s.namespace]
	l := t.deployments[s.deployment]
	list := &l.lists[l.known[key].priority]
	if l.known[key].deleted {
		l.deleted--
	}
	if i := slices.Index(*list, key); i == 0 {
		*list = (*list)[1:] // thousands may wait
	} else {
		*list = slices.Delete(*list, i, i+1)
	}
	if delete(l.known, key); len(l.known) > 0 {
		return
	}
	if delete(t.deployments, s.deployment); len(t.deployments) == 0 {
		delete(q.waiting, s.namespace)
	}
}

// mostDeserving returns the share that the next free worker is for; false: none that waits may begin.
func (q *Queue) mostDeserving() (best share, found bool) {
	if q.held.all >= q.workers {
		return share{}, false
	}
	for namespace, t := range q.waiting {
		for deployment, l := range t.deployments {
			s := share{namespace, deployment}
			if q.admits(s, l.deleted > 0) && (!found || q.compare(s, best) < 0) {
				best, found = s, true
			}
		}
	}
	return best, found
}

// compare orders shares: which one is to get the next worker first.
func (q *Queue) compare(a, b share) int {
	if a.namespace != b.namespace {
		return cmp.Or(
			cmp.Compare(q.passesIn(a.namespace), q.passesIn(b.namespace)),
			cmp.Compare(q.waiting[a.namespace].turn, q.waiting[b.namespace].turn),
			strings.Compare(a.namespace, b.namespace),
		)
	}
	lists := q.waiting[a.namespace].deployments
	return cmp.Or(
		cmp.Compare(q.held.shares[a]+q.aside.shares[a], q.held.shares[b]+q.aside.shares[b]),
		cmp.Compare(lists[a.deployment].turn, lists[b.deployment].turn),
		strings.Compare(a.deployment.String(), b.deployment.String()),
	)
}

func (q *Queue) passesIn(namespace string) int {
	return q.held.namespaces[namespace] + q.aside.namespaces[namespace]
}

// takeWaiting removes and returns the first object of a share that may begin; onlyDeleted: of those that
// are being deleted.
func (q *Queue) takeWaiting(s share, onlyDeleted bool) types.NamespacedName {
	t := q.waiting[s.namespace]
	l := t.deployments[s.deployment]
	q.turn++
	t.turn, l.turn = q.turn, q.turn
	key := *l.first(onlyDeleted)
	q.drop(s, key)
	return key
}

// first returns the first object of the highest priority; onlyDeleted: of those that are being deleted.
// Nil: there is none.
func (l *waitingLists) first(onlyDeleted bool) *types.NamespacedName {
	for priority := maxPriority; priority >= 0; priority-- {
		for i, key := range l.lists[priority] {
			if !onlyDeleted || l.known[key].deleted {
				return &l.lists[priority][i]
			}
		}
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"cmp"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// standing is what a name of a session is for the limit of its parent.
type standing int

const (
	// unused: there is neither a session of that name nor a pod that waits for one.
	unused standing = iota
	// waiting: a pod waits for the session.
	waiting
	// taken: the session exists and is not being deleted, or it is being created.
	taken
)

// place is one name of the session of a pod.
type place struct {
	name     string
	standing standing
	// created is true from the decision to create the session until the cache shows it or it is certain that
	// there is none. Its standing is taken then.
	created bool
	// pod that waits.
	pod podsession.Pod
	// version of the parent that was last decided by.
	version string
	// enqueued is true until the next pass over the name.
	enqueued bool
}

func comparePlaces(a, b *place) int {
	return cmp.Or(podsession.Compare(a.pod, b.pod), cmp.Compare(a.name, b.name))
}

// parentPlaces are the names of one parent.
type parentPlaces struct {
	byName map[string]*place
	taken  int
	// waiting places, the oldest pod first.
	waiting []*place
	// version of the parent for which all places are enqueued that a change of the parent concerns.
	version string
}

// places counts the pods of all parents and knows which ones wait, so that a pass over one pod costs the
// same however many others there are. It is filled from the cache once for each parent, and then by the
// passes: an event about a pod or its session leads to a pass over its name. It may be lost at any time.
// Create it with [newPlaces]. It is safe for concurrent use.
type places struct {
	// loading is held while the places of a parent are read from the cache.
	loading sync.Mutex

	mu      sync.Mutex
	parents map[types.NamespacedName]*parentPlaces
	// parentOf is the name of the parent of each place.
	parentOf map[types.NamespacedName]string
}

func newPlaces() *places {
	return &places{parents: map[types.NamespacedName]*parentPlaces{}, parentOf: map[types.NamespacedName]string{}}
}

// load reads the places of a parent, if that was not done yet.
func (p *places) load(parent types.NamespacedName, read func() ([]place, error)) error {
	if p.has(parent) {
		return nil
	}
	p.loading.Lock()
	defer p.loading.Unlock()
	if p.has(parent) {
		return nil
	}
	found, err := read()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	all := &parentPlaces{byName: map[string]*place{}}
	p.parents[parent] = all
	for i := range found {
		key := types.NamespacedName{Namespace: parent.Namespace, Name: found[i].name}
		if _, known := p.parentOf[key]; known {
			continue // it was one of another parent until now: the pass over it moves it
		}
		all.put(&found[i])
		p.parentOf[key] = parent.Name
	}
	return nil
}

func (p *places) has(parent types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.parents[parent] != nil
}

// record sets what a pass has observed about a name. The parent is loaded; empty: the name is unused.
// It returns the parents that a pass is due over: one whose limit or order has left room for others, and
// one whose version was another when its places were enqueued last.
func (p *places) record(key types.NamespacedName, parent string, seen place) (due []types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	former := types.NamespacedName{Namespace: key.Namespace, Name: p.parentOf[key]}
	was := p.placeOf(key)
	if was != nil && was.created && seen.standing == waiting && former.Name == parent {
		seen.created, seen.standing = true, taken // the cache may not show the session yet
	}
	if was != nil {
		p.parents[former].remove(was)
		delete(p.parentOf, key)
		if former.Name != parent || leavesRoom(was.standing, seen.standing) {
			due = append(due, former)
		}
		p.dropIfEmpty(former)
	}
	to := types.NamespacedName{Namespace: key.Namespace, Name: parent}
	if parent == "" || seen.standing == unused {
		p.dropIfEmpty(to)
		return due
	}
	seen.name = key.Name
	if p.add(to, &seen) && !slices.Contains(due, to) {
		due = append(due, to)
	}
	return due
}

// add adds a place and reports whether it was decided by another version of the parent than others.
func (p *places) add(parent types.NamespacedName, one *place) (outdated bool) {
	all := p.parents[parent]
	if all == nil { // its last place has gone since it was loaded
		all = &parentPlaces{byName: map[string]*place{}}
		p.parents[parent] = all
	}
	all.put(one)
	p.parentOf[types.NamespacedName{Namespace: parent.Namespace, Name: one.name}] = parent.Name
	return all.version != one.version
}

// leavesRoom reports whether a change of one place matters for others of the parent.
func leavesRoom(was, is standing) bool { return is == unused || was == taken && is == waiting }

// tryTake calls decide with the number of places that others have taken, and of older pods that wait, and
// takes the place if it returns true. Nothing is taken in between.
func (p *places) tryTake(key types.NamespacedName, decide func(live, ahead int) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.placeOf(key)
	if own == nil {
		return // its pod has gone
	}
	all := p.parents[types.NamespacedName{Namespace: key.Namespace, Name: p.parentOf[key]}]
	all.remove(own)
	ahead, _ := slices.BinarySearchFunc(all.waiting, own, comparePlaces)
	if decide(all.taken, ahead) {
		own.created, own.standing = true, taken
	}
	all.put(own)
}

// giveBack ends that the session of a name is being created: there is none for certain.
func (p *places) giveBack(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.placeOf(key)
	if own == nil || !own.created {
		return
	}
	all := p.parents[types.NamespacedName{Namespace: key.Namespace, Name: p.parentOf[key]}]
	all.remove(own)
	own.created, own.standing = false, waiting
	all.put(own)
}

// isCreated reports whether a session of that name is being created, or was and the cache has not shown it yet.
func (p *places) isCreated(key types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.placeOf(key)
	return own != nil && own.created
}

// markEnqueued notes that there will be another pass over a name without an event.
func (p *places) markEnqueued(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.placeOf(key); own != nil {
		own.enqueued = true
	}
}

// next returns the names of a parent that a pass is due over, up to most of them, and whether there are
// more. Of those that wait these are the oldest, as many as the limit leaves room for; all, if the limit is
// negative, because none is served and they have to learn why. Of the others these are those that were
// decided by another version of the parent.
func (p *places) next(parent types.NamespacedName, version string, limit, most int) (names []string, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.parents[parent]
	if all == nil {
		return nil, false
	}
	for _, one := range all.concerned(version, limit) {
		switch {
		case one.enqueued:
		case len(names) == most:
			return names, true
		default:
			one.enqueued = true
			names = append(names, one.name)
		}
	}
	all.version = version
	return names, false
}

// placeOf returns the place of a name; nil: it is unused.
func (p *places) placeOf(key types.NamespacedName) *place {
	all := p.parents[types.NamespacedName{Namespace: key.Namespace, Name: p.parentOf[key]}]
	if all == nil {
		return nil
	}
	return all.byName[key.Name]
}

// dropIfEmpty drops a parent without places.
func (p *places) dropIfEmpty(parent types.NamespacedName) {
	if all := p.parents[parent]; all != nil && len(all.byName) == 0 {
		delete(p.parents, parent)
	}
}

// concerned returns the places that a pass is due over, also those that are enqueued already.
func (a *parentPlaces) concerned(version string, limit int) []*place {
	isOutdated := func(one *place) bool { return one.version != version }
	var found []*place
	if limit >= 0 {
		found = slices.Clone(a.waiting[:min(len(a.waiting), max(limit-a.taken, 0))])
	} else {
		found = slices.DeleteFunc(slices.Clone(a.waiting), func(one *place) bool { return !isOutdated(one) })
	}
	if a.version == version {
		return found
	}
	for _, one := range a.byName {
		if one.standing == taken && isOutdated(one) {
			found = append(found, one)
		}
	}
	return found
}

func (a *parentPlaces) put(one *place) {
	a.byName[one.name] = one
	switch one.standing {
	case taken:
		a.taken++
	case waiting:
		i, _ := slices.BinarySearchFunc(a.waiting, one, comparePlaces)
		a.waiting = slices.Insert(a.waiting, i, one)
	case unused:
	}
}

func (a *parentPlaces) remove(one *place) {
	delete(a.byName, one.name)
	switch one.standing {
	case taken:
		a.taken--
	case waiting:
		if i, found := slices.BinarySearchFunc(a.waiting, one, comparePlaces); found {
			a.waiting = slices.Delete(a.waiting, i, i+1)
		}
	case unused:
	}
}

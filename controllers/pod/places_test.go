// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

var parentKey = types.NamespacedName{Namespace: "builds", Name: "ci"}

// placesEnv are the places of one parent, without any read from a cache.
type placesEnv struct {
	*testing.T
	*places
	limit int
}

func newPlacesEnv(t *testing.T, limit int, found ...place) *placesEnv {
	t.Helper()
	w := &placesEnv{T: t, places: newPlaces(), limit: limit}
	if err := w.load(parentKey, func() ([]place, error) { return found, nil }); err != nil {
		t.Fatal(err)
	}
	return w
}

func keyOf(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: "builds", Name: fmt.Sprintf("ci-%04d", i)}
}

// waits is what is observed of a pod that waits; those with a smaller number are older.
func waits(i int) place {
	pod := podsession.Pod{Created: time.Unix(int64(i), 0), Name: fmt.Sprint(i)}
	return place{standing: waiting, version: "1", pod: pod}
}

var isTaken = place{standing: taken, version: "1"}

// serve decides about pods as a pass does, and returns which of them get a session.
func (w *placesEnv) serve(pods ...int) (served []int) {
	for _, i := range pods {
		w.record(keyOf(i), "ci", waits(i))
		w.tryTake(keyOf(i), func(live, ahead int) bool {
			if live+ahead >= w.limit {
				return false
			}
			served = append(served, i)
			return true
		})
	}
	return served
}

func (w *placesEnv) expect(want, got any, what string) {
	w.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// B153: no more places are taken than the limit allows, also before the cache shows the sessions, and the
// oldest pods have them.
func TestPlacesAreTakenInOrder(t *testing.T) {
	t.Parallel()
	w := newPlacesEnv(t, 2, place{name: "ci-9999", standing: taken})
	for _, i := range []int{2, 1, 3} {
		w.record(keyOf(i), "ci", waits(i))
	}
	w.expect([]int{1}, w.serve(3, 2, 1), "served beside one that was there already")
	w.expect([]int{1}, w.serve(1), "the cache does not show the session yet")
	w.expect([]int(nil), w.serve(2, 3), "no place is left")
	w.giveBack(keyOf(1))
	w.expect([]int(nil), w.serve(2, 3), "an older one waits again")
	w.expect([]int{1}, w.serve(1), "served after it was refused once")
	w.record(keyOf(1), "ci", isTaken)
	w.giveBack(keyOf(1)) // the cache shows it
	w.expect([]int(nil), w.serve(2), "the session exists")
	if due := w.record(keyOf(1), "", place{}); !slices.Contains(due, parentKey) {
		t.Error("the place of a pod that has ended wakes no other one")
	}
	w.expect([]int(nil), w.serve(3), "a younger one does not overtake")
	names, more := w.next(parentKey, "1", w.limit, 10)
	w.expect([]string{"ci-0002"}, names[:1], "woken")
	if more {
		t.Error("more are woken")
	}
	w.expect([]int{2}, w.serve(2), "served afterwards")
}

// B155: however many wait, a pass wakes a few of them, the oldest first, and none twice.
func TestFewAreWokenByOnePass(t *testing.T) {
	t.Parallel()
	w := newPlacesEnv(t, 3)
	for i := range 5000 {
		w.record(keyOf(i), "ci", waits(i))
	}
	names, more := w.next(parentKey, "1", 3, 100)
	w.expect([]string{"ci-0000", "ci-0001", "ci-0002"}, names, "woken for three places")
	if again, _ := w.next(parentKey, "1", 3, 100); more || len(again) > 0 {
		t.Errorf("woken twice: %v, more %v", again, more)
	}
	w.record(keyOf(0), "ci", waits(0))
	w.markEnqueued(keyOf(0)) // it is tried again after a delay
	if names, _ := w.next(parentKey, "1", 3, 100); len(names) > 0 {
		t.Errorf("what backs off is woken: %v", names)
	}
	// Paused: all have to learn it, the oldest first.
	seen := 3
	for more = true; more; {
		names, more = w.next(parentKey, "2", -1, 100)
		if len(names) > 100 || len(names) > 0 && names[0] != fmt.Sprintf("ci-%04d", seen) {
			t.Fatalf("after %d, %d are woken, first %s", seen, len(names), names[0])
		}
		seen += len(names)
	}
	w.expect(5000, seen, "woken in all")
}

// B153: a change of the parent reaches those that are served, once, and also one that was decided by what was
// before, meanwhile.
func TestAChangeOfTheParentReachesAll(t *testing.T) {
	t.Parallel()
	w := newPlacesEnv(t, 3)
	if due := w.record(keyOf(1), "ci", isTaken); !slices.Contains(due, parentKey) {
		t.Error("nothing follows the first one")
	}
	w.record(keyOf(2), "ci", isTaken)
	if names, _ := w.next(parentKey, "1", 3, 100); len(names) > 0 {
		t.Errorf("woken without a change: %v", names)
	}
	names, more := w.next(parentKey, "2", 3, 1)
	if len(names) != 1 || !more {
		t.Errorf("woken %v, more %v", names, more)
	}
	rest, more := w.next(parentKey, "2", 3, 1)
	names = append(names, rest...)
	slices.Sort(names)
	w.expect([]string{"ci-0001", "ci-0002"}, names, "woken after a change")
	if more {
		t.Error("more are woken than there are")
	}
	if due := w.record(keyOf(1), "ci", place{standing: taken, version: "2"}); len(due) > 0 {
		t.Errorf("due without a change: %v", due)
	}
	if due := w.record(keyOf(2), "ci", isTaken); !slices.Contains(due, parentKey) {
		t.Error("one that was decided by the former version is left with it")
	}
}

// A place that moves to another parent leaves the former one, also if the cache shows it there already.
func TestAPlaceMovesToAnotherParent(t *testing.T) {
	t.Parallel()
	w := newPlacesEnv(t, 1)
	w.record(keyOf(1), "ci", isTaken)
	other := types.NamespacedName{Namespace: "builds", Name: "other"}
	if err := w.load(other, func() ([]place, error) {
		return []place{{name: keyOf(1).Name, standing: taken}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if due := w.record(keyOf(1), "other", isTaken); !slices.Contains(due, parentKey) {
		t.Error("the former parent is not due")
	}
	w.record(keyOf(1), "", place{})
	w.expect([]int{1}, w.serve(1), "served by the former parent again")
}

// Of what is gone nothing is kept, and the cache is read once for each parent.
func TestPlacesAreReadOnceAndForgotten(t *testing.T) {
	t.Parallel()
	w := newPlacesEnv(t, 3)
	broken := func() ([]place, error) { return nil, errors.New("it is read again") }
	for i := range 3 {
		w.record(keyOf(i), "ci", waits(i))
		if err := w.load(parentKey, broken); err != nil {
			t.Error(err)
		}
	}
	w.record(keyOf(0), "web", waits(0)) // the label of the pod was changed
	for i := range 3 {
		w.record(keyOf(i), "", place{})
	}
	if len(w.parents) > 0 || len(w.parentOf) > 0 {
		t.Errorf("kept are %v, %v", w.parents, w.parentOf)
	}
	if err := w.load(parentKey, broken); err == nil {
		t.Error("it is not read again after it was forgotten")
	}
}

// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

const prefix = "cso-k8sabcde-"

var soon = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// token returns one whose name ends in the given text and whose ID is that text.
func token(id string) coder.Token {
	return coder.Token{ID: id, Name: prefix + id, ExpiresAt: soon}
}

func tokens(ids ...string) []coder.Token {
	var list []coder.Token
	for _, id := range ids {
		list = append(list, token(id))
	}
	return list
}

// lists returns the same tokens and suspended users each time.
func lists(listed []coder.Token, suspended ...string) (
	func(context.Context) ([]coder.Token, error), func(context.Context) ([]coder.User, error),
) {
	var users []coder.User
	for _, id := range suspended {
		users = append(users, coder.User{ID: id})
	}
	return func(context.Context) ([]coder.Token, error) { return listed, nil },
		func(context.Context) ([]coder.User, error) { return users, nil }
}

func refresh(tb testing.TB, i *Inventory, listed []coder.Token, suspended ...string) Changes {
	tb.Helper()
	list, users := lists(listed, suspended...)
	changes, err := i.Refresh(tb.Context(), list, users)
	if err != nil {
		tb.Fatal(err)
	}
	return changes
}

func ids(list []coder.Token) []string {
	var found []string
	for _, token := range list {
		found = append(found, token.ID)
	}
	return found
}

func TestRefreshTellsWhatChanged(t *testing.T) { // B44, B47
	t.Parallel()
	used, extended := token("b-1"), token("c-1")
	used.LastUsed = soon.Add(-time.Hour)
	extended.ExpiresAt = soon.Add(time.Hour)
	sameTime := token("a-1")
	sameTime.ExpiresAt = soon.In(time.FixedZone("", 3600))

	i := New(prefix)
	if i.Loaded() {
		t.Error("loaded before the first listing")
	}
	got := refresh(t, i, tokens("c-1", "a-1", "b-1"), "u2", "u1")
	if diff := cmp.Diff(Changes{
		First: true, Appeared: tokens("a-1", "b-1", "c-1"), Suspended: []string{"u1", "u2"},
	}, got); diff != "" {
		t.Error(diff)
	}
	if !i.Loaded() || !i.Suspended("u1") || i.Suspended("u3") {
		t.Error("the listing is not known")
	}
	if diff := cmp.Diff(Changes{}, refresh(t, i, tokens("b-1", "c-1", "a-1"), "u1", "u2")); diff != "" {
		t.Error(diff)
	}
	got = refresh(t, i, []coder.Token{sameTime, used, extended, token("d-1")}, "u2", "u3")
	if diff := cmp.Diff(Changes{
		Appeared: tokens("d-1"), Changed: []coder.Token{used, extended}, Suspended: []string{"u3"}, Activated: []string{"u1"},
	}, got); diff != "" {
		t.Error(diff)
	}
	got = refresh(t, i, []coder.Token{extended})
	if diff := cmp.Diff(Changes{
		Vanished: []coder.Token{sameTime, used, token("d-1")}, Activated: []string{"u2", "u3"},
	}, got); diff != "" {
		t.Error(diff)
	}
	if found, ok := i.Lookup("c-1"); !ok || !found.ExpiresAt.Equal(extended.ExpiresAt) {
		t.Errorf("%+v, %v", found, ok)
	}
	if _, ok := i.Lookup("a-1"); ok {
		t.Error("a token that is gone is found")
	}
}

func TestOnlyTokensOfThePrefixAreKept(t *testing.T) { // B45
	t.Parallel()
	i := New(prefix)
	others := []coder.Token{{ID: "x", Name: "my token"}, {ID: "y", Name: "cso-another1-a-1"}, {ID: "z"}}
	if got := refresh(t, i, append(others, token("a-1"))); len(got.Appeared) != 1 {
		t.Errorf("%v", got.Appeared)
	}
	i.Add(others[0])
	if got := ids(i.WithPrefix("")); !cmp.Equal(got, []string{"a-1"}) {
		t.Error(got)
	}
}

func TestWithPrefix(t *testing.T) {
	t.Parallel()
	i := New(prefix)
	twin := token("b-2")
	twin.ID = "a-twin" // another user's token of the same name
	refresh(t, i, append(tokens("c-1", "b-2", "a-9", "b-1", "ba-1"), twin))
	i.Add(token("b-3"))
	i.Add(token("b-3")) // replaces the same token
	renamed := token("ba-1")
	renamed.Name = prefix + "b-4"
	i.Add(renamed)
	i.Remove("c-1")
	i.Remove("never-known")
	for from, want := range map[string][]string{
		prefix + "b-": {"b-1", "a-twin", "b-2", "b-3", "ba-1"},
		prefix + "ba": nil,
		prefix + "c-": nil,
		prefix + "z":  nil,
		"":            {"a-9", "b-1", "a-twin", "b-2", "b-3", "ba-1"},
	} {
		if diff := cmp.Diff(want, ids(i.WithPrefix(from))); diff != "" {
			t.Errorf("%s: %s", from, diff)
		}
	}
}

func TestWhatIsSaidWhileListingWins(t *testing.T) { // B40, B41
	t.Parallel()
	i := New(prefix)
	refresh(t, i, tokens("kept-1", "revoked-1", "replaced-1"))
	_, users := lists(nil)
	replaced := token("replaced-1")
	replaced.ExpiresAt = soon.Add(time.Hour)
	changes, err := i.Refresh(t.Context(), func(context.Context) ([]coder.Token, error) {
		i.Add(token("minted-1"))
		i.Remove("revoked-1")
		i.Add(replaced)
		i.Add(token("both-1"))
		i.Remove("both-1")
		return tokens("kept-1", "revoked-1", "replaced-1", "both-1"), nil
	}, users)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Changes{}, changes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"kept-1", "minted-1", "replaced-1"}, ids(i.WithPrefix(prefix))); diff != "" {
		t.Error(diff)
	}
	if got, _ := i.Lookup("replaced-1"); !got.ExpiresAt.Equal(replaced.ExpiresAt) {
		t.Error("an older answer won")
	}

	// The next listing started later, so it is more recent.
	changes = refresh(t, i, tokens("kept-1", "revoked-1"))
	if diff := cmp.Diff([]string{"minted-1", "replaced-1"}, ids(changes.Vanished)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"revoked-1"}, ids(changes.Appeared)); diff != "" {
		t.Error(diff)
	}
}

func TestFailedListingChangesNothing(t *testing.T) { // B46
	t.Parallel()
	broken := errors.New("broken")
	i := New(prefix)
	refresh(t, i, tokens("a-1"), "u1")
	list, users := lists(tokens("b-1"))
	for name, call := range map[string]func() (Changes, error){
		"tokens": func() (Changes, error) {
			return i.Refresh(t.Context(), func(context.Context) ([]coder.Token, error) { return nil, broken }, users)
		},
		"users": func() (Changes, error) {
			return i.Refresh(t.Context(), list, func(context.Context) ([]coder.User, error) { return nil, broken })
		},
	} {
		changes, err := call()
		if !errors.Is(err, broken) || !cmp.Equal(changes, Changes{}) {
			t.Errorf("%s: %+v, %v", name, changes, err)
		}
	}
	if got := ids(i.WithPrefix("")); !cmp.Equal(got, []string{"a-1"}) || !i.Suspended("u1") {
		t.Error(got)
	}
}

func TestClear(t *testing.T) {
	t.Parallel()
	i := New(prefix)
	refresh(t, i, tokens("a-1"), "u1")
	_, users := lists(nil)
	changes, err := i.Refresh(t.Context(), func(context.Context) ([]coder.Token, error) {
		i.Clear()
		i.Add(token("new-1"))
		return tokens("a-1"), nil
	}, users)
	if !errors.Is(err, ErrCleared) || !cmp.Equal(changes, Changes{}) {
		t.Errorf("%+v, %v", changes, err)
	}
	if i.Loaded() || i.Suspended("u1") || !cmp.Equal(ids(i.WithPrefix("")), []string{"new-1"}) {
		t.Error("something of the old server is known")
	}
	if changes := refresh(t, i, tokens("b-1")); !changes.First {
		t.Error("not the first of the new server")
	}
}

func TestListingsRunOneAtATime(t *testing.T) {
	t.Parallel()
	i := New(prefix)
	list, users := lists(tokens("a-1"))
	_, err := i.Refresh(t.Context(), func(ctx context.Context) ([]coder.Token, error) {
		waiting, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := i.Refresh(waiting, list, users); !errors.Is(err, context.Canceled) {
			t.Errorf("the second one: %v", err)
		}
		return nil, nil
	}, users)
	if err != nil {
		t.Error(err)
	}
}

func TestInventoryIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	i := New(prefix)
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for k := range 50 {
				id := fmt.Sprintf("s%d-%d", n, k)
				i.Add(token(id))
				refresh(t, i, tokens(id), "u")
				i.WithPrefix(prefix)
				i.Lookup(id)
				i.Suspended("u")
				i.Remove(id)
			}
		})
	}
	all.Wait()
}

func BenchmarkWithPrefix(b *testing.B) { // the same for any number of tokens: B51
	for _, size := range []int{100, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			i := New(prefix)
			var all []coder.Token
			for n := range size {
				all = append(all, token(fmt.Sprintf("%08x-1", n)))
			}
			refresh(b, i, all)
			b.ReportAllocs()
			for b.Loop() {
				i.WithPrefix(prefix + "0000002a-")
			}
		})
	}
}

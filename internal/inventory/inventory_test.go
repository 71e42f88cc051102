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

// listedAt is the time by the server's clock.
var listedAt = soon.AddDate(-1, 0, 0)

func newInventory() *Inventory {
	return newInventoryOf(NewBudget(DefaultBudget), "coder", NewAttempts(time.Now))
}

func newInventoryOf(budget *Budget, namespace string, attempts *Attempts) *Inventory {
	return New(Options{Prefix: prefix, ServerNow: func() time.Time { return listedAt },
		Attempts: attempts, Budget: budget, Namespace: namespace})
}

// newToken returns one whose name ends in the given text and whose ID is that text.
func newToken(id string) coder.Token {
	return coder.Token{ID: id, Name: prefix + id, ExpiresAt: soon}
}

func newTokens(ids ...string) []coder.Token {
	var list []coder.Token
	for _, id := range ids {
		list = append(list, newToken(id))
	}
	return list
}

// errNoRoom is the error of a list for which there is no memory.
var errNoRoom = errors.New("no room")

// holdAll holds tokens as a list does that has read them.
func holdAll(filter coder.TokenFilter, listed []coder.Token) (coder.TokenList, error) {
	for _, token := range listed {
		if _, fits := filter.Hold(&token); !fits {
			return coder.TokenList{}, errNoRoom
		}
	}
	return coder.TokenList{}, nil
}

// listReturning returns the same tokens and suspended users each time.
func listReturning(listed []coder.Token, suspended ...string) (
	func(context.Context, coder.TokenFilter) (coder.TokenList, error),
	func(context.Context, coder.Reserve) ([]string, error),
) {
	return func(_ context.Context, filter coder.TokenFilter) (coder.TokenList, error) {
			return holdAll(filter, listed)
		}, func(_ context.Context, reserve coder.Reserve) ([]string, error) {
			for _, id := range suspended {
				if !reserve(coder.UserIDSize(id)) {
					return nil, errNoRoom
				}
			}
			return suspended, nil
		}
}

func refreshWith(tb testing.TB, i *Inventory, listed []coder.Token, suspended ...string) Changes {
	tb.Helper()
	list, users := listReturning(listed, suspended...)
	changes, err := i.Refresh(tb.Context(), list, users)
	if err != nil {
		tb.Fatal(err)
	}
	return changes
}

func tokenIDs(list []coder.Token) []string {
	var found []string
	for _, token := range list {
		found = append(found, token.ID)
	}
	return found
}

func TestRefreshTellsWhatChanged(t *testing.T) { // B44, B47
	t.Parallel()
	used, extended := newToken("b-1"), newToken("c-1")
	used.LastUsed = soon.Add(-time.Hour)
	extended.ExpiresAt = soon.Add(time.Hour)
	sameTime := newToken("a-1")
	sameTime.ExpiresAt = soon.In(time.FixedZone("", 3600))

	i := newInventory()
	if i.Loaded() {
		t.Error("loaded before the first listing")
	}
	got := refreshWith(t, i, newTokens("c-1", "a-1", "b-1"), "u2", "u1")
	if diff := cmp.Diff(Changes{First: true, Suspended: []string{"u1", "u2"}}, got); diff != "" {
		t.Error(diff)
	}
	if !i.Loaded() || !i.Suspended("u1") || i.Suspended("u3") {
		t.Error("the listing is not known")
	}
	if diff := cmp.Diff(Changes{}, refreshWith(t, i, newTokens("b-1", "c-1", "a-1"), "u1", "u2")); diff != "" {
		t.Error(diff)
	}
	got = refreshWith(t, i, []coder.Token{sameTime, used, extended, newToken("d-1")}, "u2", "u3")
	if diff := cmp.Diff(Changes{
		Appeared: newTokens("d-1"), Changed: []coder.Token{used, extended}, Suspended: []string{"u3"},
		Activated: []string{"u1"},
	}, got); diff != "" {
		t.Error(diff)
	}
	got = refreshWith(t, i, []coder.Token{extended})
	if diff := cmp.Diff(Changes{
		Vanished: []coder.Token{sameTime, used, newToken("d-1")}, Activated: []string{"u2", "u3"},
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

// B120: the server lists expired tokens (R30), and reads them by id.
func TestExpiredTokensAreGone(t *testing.T) {
	t.Parallel()
	expired := func(id string) coder.Token {
		token := newToken(id)
		token.ExpiresAt = listedAt
		return token
	}
	i := newInventory()
	refreshWith(t, i, append(newTokens("a-1", "b-1", "c-1"), expired("d-1")))
	if got := tokenIDs(i.WithPrefix(prefix)); !cmp.Equal(got, []string{"a-1", "b-1", "c-1"}) {
		t.Errorf("listed: %v", got)
	}
	i.Add(expired("b-1"))
	i.Add(expired("e-1"))
	if got := tokenIDs(i.WithPrefix(prefix)); !cmp.Equal(got, []string{"a-1", "c-1"}) {
		t.Errorf("after Add: %v", got)
	}
	got := refreshWith(t, i, []coder.Token{expired("a-1"), newToken("c-1")})
	if diff := cmp.Diff(Changes{Vanished: newTokens("a-1")}, got); diff != "" {
		t.Error(diff)
	}
	if _, found := i.Lookup("a-1"); found {
		t.Error("an expired token is found")
	}
}

// Of a token that is listed twice, the last one counts.
func TestATokenThatIsListedTwice(t *testing.T) {
	t.Parallel()
	again := newToken("a-1")
	again.LastUsed = listedAt
	i := newInventory()
	refreshWith(t, i, []coder.Token{newToken("a-1"), newToken("b-1"), again})
	if got := tokenIDs(i.WithPrefix("")); !cmp.Equal(got, []string{"a-1", "b-1"}) {
		t.Error(got)
	}
	if got, _ := i.Lookup("a-1"); got.LastUsed.IsZero() {
		t.Error("the first one counts")
	}
}

func TestOnlyTokensOfThePrefixAreKept(t *testing.T) { // B45
	t.Parallel()
	i := newInventory()
	others := []coder.Token{{ID: "x", Name: "my token"}, {ID: "y", Name: "cso-another1-a-1"}, {ID: "z"}}
	refreshWith(t, i, others)
	if got := refreshWith(t, i, append(others, newToken("a-1"))); len(got.Appeared) != 1 {
		t.Errorf("%v", got.Appeared)
	}
	i.Add(others[0])
	if got := tokenIDs(i.WithPrefix("")); !cmp.Equal(got, []string{"a-1"}) {
		t.Error(got)
	}
}

func TestWithPrefix(t *testing.T) {
	t.Parallel()
	i := newInventory()
	twin := newToken("b-2")
	twin.ID = "a-twin" // another user's token of the same name
	refreshWith(t, i, append(newTokens("c-1", "b-2", "a-9", "b-1", "ba-1"), twin))
	i.Add(newToken("b-3"))
	i.Add(newToken("b-3")) // replaces the same token
	renamed := newToken("ba-1")
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
		if diff := cmp.Diff(want, tokenIDs(i.WithPrefix(from))); diff != "" {
			t.Errorf("%s: %s", from, diff)
		}
	}
}

func TestWhatIsSaidWhileListingWins(t *testing.T) { // B40, B41
	t.Parallel()
	i := newInventory()
	refreshWith(t, i, newTokens("kept-1", "revoked-1", "replaced-1"))
	_, users := listReturning(nil)
	replaced := newToken("replaced-1")
	replaced.ExpiresAt = soon.Add(time.Hour)
	changes, err := i.Refresh(t.Context(), func(_ context.Context, filter coder.TokenFilter) (coder.TokenList, error) {
		i.Add(newToken("minted-1"))
		i.Remove("revoked-1")
		i.Add(replaced)
		i.Add(newToken("both-1"))
		i.Remove("both-1")
		return holdAll(filter, newTokens("kept-1", "revoked-1", "replaced-1", "both-1"))
	}, users)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Changes{}, changes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"kept-1", "minted-1", "replaced-1"}, tokenIDs(i.WithPrefix(prefix))); diff != "" {
		t.Error(diff)
	}
	if got, _ := i.Lookup("replaced-1"); !got.ExpiresAt.Equal(replaced.ExpiresAt) {
		t.Error("an older answer won")
	}

	// The next listing started later, so it is more recent.
	changes = refreshWith(t, i, newTokens("kept-1", "revoked-1"))
	if diff := cmp.Diff([]string{"minted-1", "replaced-1"}, tokenIDs(changes.Vanished)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"revoked-1"}, tokenIDs(changes.Appeared)); diff != "" {
		t.Error(diff)
	}
}

func TestFailedListingChangesNothing(t *testing.T) { // B46
	t.Parallel()
	broken := errors.New("broken")
	i := newInventory()
	refreshWith(t, i, newTokens("a-1"), "u1")
	list, users := listReturning(newTokens("b-1"))
	for name, call := range map[string]func() (Changes, error){
		"tokens": func() (Changes, error) {
			return i.Refresh(t.Context(), func(context.Context, coder.TokenFilter) (coder.TokenList, error) {
				return coder.TokenList{}, broken
			}, users)
		},
		"users": func() (Changes, error) {
			return i.Refresh(t.Context(), list, func(context.Context, coder.Reserve) ([]string, error) { return nil, broken })
		},
	} {
		changes, err := call()
		if !errors.Is(err, broken) || !cmp.Equal(changes, Changes{}) {
			t.Errorf("%s: %+v, %v", name, changes, err)
		}
	}
	if got := tokenIDs(i.WithPrefix("")); !cmp.Equal(got, []string{"a-1"}) || !i.Suspended("u1") {
		t.Error(got)
	}
}

func TestClear(t *testing.T) {
	t.Parallel()
	i := newInventory()
	refreshWith(t, i, newTokens("a-1"), "u1")
	_, users := listReturning(nil)
	changes, err := i.Refresh(t.Context(), func(ctx context.Context, filter coder.TokenFilter) (coder.TokenList, error) {
		i.Clear()
		i.Add(newToken("new-1"))
		if _, fits := filter.Hold(&coder.Token{}); fits || ctx.Err() == nil {
			t.Error("the listing of the old server goes on")
		}
		return coder.TokenList{}, nil
	}, users)
	if !errors.Is(err, ErrCleared) || !cmp.Equal(changes, Changes{}) {
		t.Errorf("%+v, %v", changes, err)
	}
	if i.Loaded() || i.Suspended("u1") || !cmp.Equal(tokenIDs(i.WithPrefix("")), []string{"new-1"}) {
		t.Error("something of the old server is known")
	}
	if changes := refreshWith(t, i, newTokens("b-1")); !changes.First {
		t.Error("not the first of the new server")
	}
}

func TestListingsRunOneAtATime(t *testing.T) {
	t.Parallel()
	i := newInventory()
	list, users := listReturning(newTokens("a-1"))
	_, err := i.Refresh(t.Context(), func(ctx context.Context, _ coder.TokenFilter) (coder.TokenList, error) {
		waiting, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := i.Refresh(waiting, list, users); !errors.Is(err, context.Canceled) {
			t.Errorf("the second one: %v", err)
		}
		return coder.TokenList{}, nil
	}, users)
	if err != nil {
		t.Error(err)
	}
}

func TestInventoryIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	i := newInventory()
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for k := range 50 {
				id := fmt.Sprintf("s%d-%d", n, k)
				i.Add(newToken(id))
				refreshWith(t, i, newTokens(id), "u")
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
			i := newInventory()
			var all []coder.Token
			for n := range size {
				all = append(all, newToken(fmt.Sprintf("%08x-1", n)))
			}
			refreshWith(b, i, all)
			b.ReportAllocs()
			for b.Loop() {
				i.WithPrefix(prefix + "0000002a-")
			}
		})
	}
}

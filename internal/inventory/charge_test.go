// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// holding are accounts that hold tokens of some sizes, and take some bytes alone.
type holding struct {
	tokens string // an account holds a token for each letter
	alone  int
}

// B130: room is made by those with the largest excess, for which a shared token counts in part. An inventory that
// would be charged more than its share once they are gone gets nothing, and they are not emptied for nothing.
func TestVictimsThatShare(t *testing.T) {
	t.Parallel()
	sizes := map[rune]int{'L': 600, 'X': 300, 'H': 900}
	for name, tt := range map[string]struct {
		before map[string]holding // by namespace/name
		bytes  int                // that n/needs takes
		fits   bool
		want   map[string]int // what is charged then
	}{
		"one that has a large token alone goes": {
			map[string]holding{"a/1": {"L", 10}, "b/1": {"L", 10}, "c/1": {"L", 10}, "d/1": {"X", 10}}, 150, true,
			map[string]int{"a/1": 210, "b/1": 210, "c/1": 210, "n/needs": 150}},
		"the others are charged more when one goes": {
			map[string]holding{"a/1": {"L", 10}, "b/1": {"L", 360}}, 300, true,
			map[string]int{"a/1": 610, "n/needs": 300}},
		"all that share go if it takes that": {
			map[string]holding{"a/1": {"H", 10}, "b/1": {"H", 10}}, 300, true, map[string]int{"n/needs": 300}},
		"not if it shares itself": {
			map[string]holding{"a/1": {"H", 1}, "a/2": {"H", 1}, "n/needs": {"H", 1}}, 100, false,
			map[string]int{"a/1": 301, "a/2": 301, "n/needs": 301}},
		"within its share also then": {
			map[string]holding{"a/1": {"LX", 1}, "n/needs": {"X", 1}}, 150, true, map[string]int{"n/needs": 451}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := NewBudget(1000)
			tokens, accounts := map[rune]*sharedToken{}, map[string]*account{}
			emptied := map[string]bool{}
			add := func(who string) *account {
				namespace, _, _ := strings.Cut(who, "/")
				return &account{budget: b, namespace: namespace, empty: func() { emptied[who] = true }}
			}
			accounts["n/needs"] = add("n/needs")
			for who, has := range tt.before {
				a := add(who)
				accounts[who] = a
				a.set(&a.index, has.alone)
				for _, letter := range has.tokens {
					if tokens[letter] == nil {
						tokens[letter] = &sharedToken{hash: uint64(letter), cost: sizes[letter]}
					}
					b.tokens.join(tokens[letter], a)
					a.kept.byID = append(a.kept.byID, tokens[letter])
				}
			}
			needs := accounts["n/needs"]
			if fits := needs.take(&needs.index, tt.bytes); fits != tt.fits {
				t.Errorf("fits: %t", fits)
			}
			got, sum := map[string]int{}, 0
			for who, a := range accounts {
				if a.charged() > 0 {
					got[who] = a.charged()
				} else if !emptied[who] {
					t.Errorf("%s was not told that it is empty", who)
				}
				sum += a.charged()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if sum != b.Used() || len(emptied) != len(accounts)-len(got) {
				t.Errorf("%d bytes are taken, and %d charged; %v were emptied", b.Used(), sum, emptied)
			}
		})
	}
}

// B130: a listing that may not have others emptied, because it shares tokens with them, is told so once and does not
// have that found out for each token.
func TestAListingIsRefusedOnce(t *testing.T) {
	t.Parallel()
	b, emptied := NewBudget(1000), 0
	token := newToken("a-1")
	shared := &sharedToken{token: token, cost: 900}
	_, shared.hash = b.tokens.find(&token)
	for range 2 {
		a := &account{budget: b, namespace: "a", empty: func() { emptied++ }}
		a.set(&a.index, 1)
		b.tokens.join(shared, a)
		a.kept.byID = []*sharedToken{shared}
	}
	needs := &account{budget: b, namespace: "n"}
	if !needs.take(&needs.listing, 10) || needs.refused {
		t.Fatalf("refused: %t", needs.refused)
	}
	if needs.hold(&token, &needs.listing, 100) != nil || emptied > 0 || !needs.refused {
		t.Errorf("refused: %t, %d are emptied, although the token alone exceeds the share", needs.refused, emptied)
	}
	if !needs.take(&needs.listing, 10) {
		t.Error("no room where there is some without emptying others")
	}
	if needs.take(&needs.listing, 100) || emptied > 0 {
		t.Error("others are emptied for a listing that was refused that")
	}
	needs.endListing()
	if !needs.take(&needs.listing, 100) || emptied == 0 {
		t.Error("they are not for the next one")
	}
}

// largeTokens returns tokens of about 600 bytes.
func largeTokens(n int, user string) (list []coder.Token) {
	for k := range n {
		token := newToken(fmt.Sprintf("%08x-1", k))
		token.UserID, token.Username, token.LoginType = user, user, "token"
		token.Scopes, token.AllowList = []string{"coder:all"}, []string{strings.Repeat("x", 250)}
		list = append(list, token)
	}
	return list
}

// refreshAll refreshes inventories so that all listings are in progress when the first one ends.
func refreshAll(t *testing.T, all []*Inventory, listed []coder.Token) {
	t.Helper()
	if len(all) == 0 {
		return
	}
	_, users := listReturning(nil)
	_, err := all[0].Refresh(t.Context(), func(_ context.Context, filter coder.TokenFilter) (coder.TokenList, error) {
		list, err := holdAll(filter, listed)
		refreshAll(t, all[1:], listed)
		return list, err
	}, users)
	if err != nil {
		t.Errorf("with %d more: %v", len(all)-1, err)
	}
}

// B130: 40 CoderDeployments of one server with 10,000 tokens fit into the budget, also if all read them at the same
// time. Whatever other servers list, they stay, and another one gets its share.
func TestManyDeploymentsOfOneServerFit(t *testing.T) {
	t.Parallel()
	budget, attempts := NewBudget(DefaultBudget), NewAttempts(time.Now)
	var all []*Inventory
	for n := range 40 {
		all = append(all, newInventoryOf(budget, fmt.Sprint("namespace ", n), attempts))
	}
	listed := largeTokens(10_000, "ada")
	for range 2 {
		refreshAll(t, all, listed)
		for n := range listed[:100] {
			listed[n].LastUsed = listed[n].LastUsed.Add(time.Hour)
		}
	}
	few, before := costOf(listed), budget.Used()
	if want := few + 39*len(listed)*holdingCost; before != want {
		t.Errorf("%d bytes are taken, want %d: one list of %d, and indexes", before, want, few)
	}
	var evil []*Inventory
	for size := len(listed); size > 0; {
		mallory := largeTokens(size, fmt.Sprint("mallory ", len(evil)))
		i := newInventoryOf(budget, "evil", attempts)
		refreshWith(t, i, mallory)
		evil = append(evil, i)
		size = min(size, (budget.most-budget.Used())/(tokenCost(&mallory[0])+readingCost))
	}
	other := newInventoryOf(budget, "other", attempts)
	refreshWith(t, other, largeTokens(1000, "bob"))
	if !slices.ContainsFunc(evil, (*Inventory).Dropped) {
		t.Error("none had to go")
	}
	for n, i := range append(all, other) {
		if !i.Loaded() || i.Dropped() {
			t.Errorf("inventory %d is not loaded", n)
		}
	}
}

// B130: a listing whose memory others get is interrupted, so that a server which sends the rest slowly does not make
// it last.
func TestAListingIsInterruptedIfItsMemoryIsGivenToOthers(t *testing.T) {
	t.Parallel()
	budget, attempts := NewBudget(3*costOf(manyTokens(100))), NewAttempts(time.Now)
	slow, other := newInventoryOf(budget, "evil", attempts), newInventoryOf(budget, "honest", attempts)
	_, users := listReturning(nil)
	_, err := slow.Refresh(t.Context(), func(ctx context.Context, filter coder.TokenFilter) (coder.TokenList, error) {
		if _, err := holdAll(filter, manyTokens(200)); err != nil {
			t.Fatal(err)
		}
		list := manyTokens(100)
		for n := range list {
			list[n].Username = "ada"
		}
		refreshWith(t, other, list)
		if ctx.Err() == nil {
			t.Error("the listing goes on")
		}
		return coder.TokenList{}, ctx.Err()
	}, users)
	if !errors.Is(err, ErrCleared) || slow.Loaded() || !slow.Dropped() || !other.Loaded() {
		t.Errorf("%v, loaded %t", err, slow.Loaded())
	}
	checkCharges(t, budget, []*Inventory{slow, other})
}

// B130: a server that lists a token many times does not make it have many holders.
func TestATokenThatIsListedManyTimesIsHeldOnce(t *testing.T) {
	t.Parallel()
	i := newInventory()
	refreshWith(t, i, newTokens("a-1", "b-1"))
	_, users := listReturning(nil)
	_, err := i.Refresh(t.Context(), func(_ context.Context, filter coder.TokenFilter) (coder.TokenList, error) {
		list, err := holdAll(filter, newTokens("a-1", "c-1", "c-1", "a-1", "a-1", "c-1"))
		i.Remove("b-1")
		i.Add(newToken("c-1"))
		if _, err := holdAll(filter, newTokens("c-1", "b-1", "b-1")); err != nil {
			t.Error(err)
		}
		for id, want := range map[string]int{"a-1": 2, "c-1": 2} {
			if got := len(i.account.kept.find(id).holders); got != want {
				t.Errorf("token %s is held %d times", id, got)
			}
		}
		if len(i.account.read) != 3 || i.account.listing != 9*readingCost {
			t.Errorf("%d tokens are read, and %d bytes charged", len(i.account.read), i.account.listing)
		}
		return list, err
	}, users)
	if err != nil {
		t.Fatal(err)
	}
	if got := tokenIDs(i.WithPrefix("")); !cmp.Equal(got, []string{"a-1", "c-1"}) {
		t.Error(got)
	}
	checkCharges(t, i.account.budget, []*Inventory{i})
}

// Inventories that share tokens and have too little memory are used at the same time.
func TestInventoriesOfABudgetAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	budget, attempts := NewBudget(2*costOf(manyTokens(40))), NewAttempts(time.Now)
	var inventories []*Inventory
	var all sync.WaitGroup
	for n := range 6 {
		i := newInventoryOf(budget, fmt.Sprint(n%3), attempts)
		inventories = append(inventories, i)
		listed := manyTokens(40)
		for k := range listed {
			listed[k].Username = fmt.Sprint("server ", n%2)
		}
		all.Go(func() {
			for k := range 40 {
				list, users := listReturning(listed[:k], "u")
				_, err := i.Refresh(t.Context(), list, users)
				if err != nil && !errors.Is(err, errNoRoom) && !errors.Is(err, ErrCleared) {
					t.Error(err)
				}
				i.Add(listed[39-k])
				i.Remove(listed[k].ID)
				i.WithPrefix(prefix)
				i.Lookup(listed[0].ID)
			}
		})
	}
	all.Wait()
	checkCharges(t, budget, inventories)
}

// A refresh of 10,000 tokens that do not change, which some inventories hold.
func BenchmarkRefresh(b *testing.B) {
	for _, holders := range []int{1, 40, 400} {
		b.Run(fmt.Sprint(holders, "_holders"), func(b *testing.B) {
			budget, attempts := NewBudget(1<<40), NewAttempts(time.Now)
			listed := largeTokens(10_000, "ada")
			var i *Inventory
			for n := range holders {
				i = newInventoryOf(budget, fmt.Sprint(n), attempts)
				refreshWith(b, i, listed)
			}
			b.ReportAllocs()
			for b.Loop() {
				refreshWith(b, i, listed)
			}
		})
	}
}

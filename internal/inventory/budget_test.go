// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// taking is one call of take in a table: who takes how much.
type taking struct {
	who   string // namespace/name
	bytes int
}

// B130: what does not fit is refused, unless it is within the guaranteed share; then inventories with more
// than theirs are emptied, the largest excess first.
func TestABudgetIsShared(t *testing.T) {
	t.Parallel()
	const most = 1000
	for name, tt := range map[string]struct {
		takings []taking
		refused []int // indexes of takings
		want    map[string]int
	}{
		"one may take all of it": {[]taking{{"a/1", 1000}}, nil, map[string]int{"a/1": 1000}},
		"and no more":            {[]taking{{"a/1", 1001}}, []int{0}, map[string]int{}},
		"little by little":       {[]taking{{"a/1", 600}, {"a/1", 600}}, []int{1}, map[string]int{"a/1": 600}},
		"two that fit":           {[]taking{{"a/1", 900}, {"b/1", 100}}, nil, map[string]int{"a/1": 900, "b/1": 100}},
		"a share of half":        {[]taking{{"a/1", 900}, {"b/1", 500}}, nil, map[string]int{"b/1": 500}},
		"more than that":         {[]taking{{"a/1", 900}, {"b/1", 501}}, []int{1}, map[string]int{"a/1": 900}},
		"the largest excess goes": {[]taking{{"a/1", 300}, {"b/1", 600}, {"c/1", 200}}, nil,
			map[string]int{"a/1": 300, "c/1": 200}},
		"within the share, none goes": {[]taking{{"a/1", 333}, {"b/1", 333}, {"c/1", 333}}, nil,
			map[string]int{"a/1": 333, "b/1": 333, "c/1": 333}},
		"a namespace is one of two": {[]taking{{"a/1", 450}, {"a/2", 550}, {"b/1", 450}}, nil,
			map[string]int{"a/1": 450, "b/1": 450}},
		"the excess is that of shares": {[]taking{{"a/1", 400}, {"b/1", 600}, {"a/2", 250}, {"a/3", 167}}, nil,
			map[string]int{"a/2": 250, "a/3": 167}},
		"more than that of many": {[]taking{{"a/1", 500}, {"b/1", 500}, {"a/2", 251}}, []int{2},
			map[string]int{"a/1": 500, "b/1": 500}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := NewBudget(most)
			accounts := map[string]*account{}
			var refused []int
			for n, each := range tt.takings {
				namespace, _, _ := strings.Cut(each.who, "/")
				if accounts[each.who] == nil {
					accounts[each.who] = &account{budget: b, namespace: namespace, empty: func() {}}
				}
				if a := accounts[each.who]; !a.take(&a.index, each.bytes) {
					refused = append(refused, n)
				}
			}
			got := map[string]int{}
			for who, a := range accounts {
				if a.charged() > 0 {
					got[who] = a.charged()
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.refused, refused); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// B130: whatever is taken and given back, no more than the budget is used, and what is within a share is never refused.
func TestABudgetIsNeverExceeded(t *testing.T) {
	t.Parallel()
	const most = 10_000
	random := rand.New(rand.NewPCG(1, 2))
	b := NewBudget(most)
	var accounts []*account
	for n := range 12 {
		accounts = append(accounts, &account{budget: b, namespace: fmt.Sprint(n % 5), empty: func() {}})
	}
	for range 20_000 {
		a, bytes := accounts[random.IntN(len(accounts))], random.IntN(3000)
		switch random.IntN(4) {
		case 0:
			a.set(&a.index, max(0, a.index-bytes))
		case 1:
			a.set(&a.index, min(a.index, bytes))
		default:
			counted := a.charged() > 0
			b.count(a, true)
			share := b.shareOf(a)
			b.count(a, counted)
			if !a.take(&a.index, bytes) && a.charged()+bytes <= share {
				t.Fatalf("%d bytes within a share of %d were refused", a.charged()+bytes, share)
			}
		}
		sum := 0
		for _, each := range accounts {
			sum += each.charged()
		}
		if sum != b.Used() || sum > most || sum < 0 {
			t.Fatalf("%d bytes are taken, and %d counted", sum, b.Used())
		}
	}
	for _, a := range accounts {
		a.closed = true
		a.clear()
	}
	if a := accounts[0]; a.take(&a.index, 1) || b.Used() != 0 || len(b.accounts) != 0 {
		t.Errorf("after the end: %d bytes, %d namespaces", b.Used(), len(b.accounts))
	}
}

// costOf is what an inventory takes that has listed these tokens, and shares none.
func costOf(tokens []coder.Token) (cost int) {
	for i := range tokens {
		cost += tokenCost(&tokens[i]) + holdingCost
	}
	return cost
}

// B130: a list that does not fit changes nothing. One that is within the guaranteed share empties an
// inventory that takes more, which counts as not loaded then.
func TestAListThatDoesNotFit(t *testing.T) {
	t.Parallel()
	many, few := manyTokens(100), newTokens("a-1", "b-1")
	budget := NewBudget(2 * costOf(many))
	attempts := NewAttempts(time.Now)
	large, small := newInventoryOf(budget, "evil", attempts), newInventoryOf(budget, "honest", attempts)
	refreshWith(t, large, many)
	first := large.since
	list, users := listReturning(manyTokens(1000))
	if _, err := large.Refresh(t.Context(), list, users); !errors.Is(err, errNoRoom) || !large.Loaded() ||
		large.Dropped() || len(large.WithPrefix(prefix)) != 100 || budget.Used() != costOf(many) {
		t.Errorf("%v, loaded %t, %d tokens, %d bytes of %d", err, large.Loaded(), len(large.WithPrefix(prefix)),
			budget.Used(), costOf(many))
	}
	list, users = listReturning(few, manyUsers(10_000)...)
	if _, err := small.Refresh(t.Context(), list, users); !errors.Is(err, errNoRoom) || small.Loaded() {
		t.Errorf("suspended users that do not fit: %v", err)
	}
	refreshWith(t, large, nil)
	refreshWith(t, large, manyTokens(130))
	for _, token := range manyTokens(80) {
		token.Username = "ada" // another server's, with the same IDs
		small.Add(token)
	}
	if large.Loaded() || !large.Dropped() || len(large.WithPrefix("")) != 0 || len(small.WithPrefix("")) != 80 {
		t.Errorf("the large one is there: %d tokens; the small one has %d", len(large.WithPrefix("")),
			len(small.WithPrefix("")))
	}
	if changes := refreshWith(t, large, few); !changes.First || large.Dropped() || !large.since.Equal(first) {
		t.Error("the listing after that is no first one")
	}
	large.Close()
	small.Close()
	small.Add(newToken("late-1"))
	if budget.Used() != 0 || len(small.WithPrefix("")) != 0 {
		t.Errorf("%d bytes after the end", budget.Used())
	}
}

// B130: if a token does not fit, the inventory counts as not loaded: without the token it would tell
// that there is none.
func TestATokenThatDoesNotFit(t *testing.T) {
	t.Parallel()
	listed := manyTokens(10)
	i := newInventoryOf(NewBudget(3*costOf(listed)), "coder", NewAttempts(time.Now))
	refreshWith(t, i, listed)
	huge := newToken("huge-1")
	huge.Scopes = []string{strings.Repeat("x", 2*costOf(listed))}
	i.Add(huge)
	if _, found := i.Lookup("huge-1"); !found || i.Loaded() || !i.Dropped() || len(i.WithPrefix("")) != 1 {
		t.Errorf("found %t, loaded %t, %d tokens", found, i.Loaded(), len(i.WithPrefix("")))
	}
	huge.Scopes[0] += strings.Repeat("x", 3*costOf(listed))
	i.Add(huge)
	if _, found := i.Lookup("huge-1"); found {
		t.Error("it is kept")
	}
}

func manyTokens(n int) (list []coder.Token) {
	for k := range n {
		list = append(list, newToken(fmt.Sprintf("%08x-1", k)))
	}
	return list
}

func manyUsers(n int) (list []string) {
	for k := range n {
		list = append(list, fmt.Sprintf("%036d", k))
	}
	return list
}

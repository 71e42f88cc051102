// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// checkCharges compares what is charged with what the inventories have.
func checkCharges(t *testing.T, b *Budget, all []*Inventory) {
	t.Helper()
	held, alone, charges := map[*sharedToken]int{}, 0, map[string]int{}
	for _, i := range all {
		a := i.account
		for _, token := range slices.Concat(a.kept.byID, a.read) {
			held[token]++
		}
		if want := costOfIndex(a.kept, i.leftOut, i.suspended); a.index != want || len(a.read) == 0 && a.listing != 0 {
			t.Fatalf("an index of %d bytes is charged %d, and %d for listings", want, a.index, a.listing)
		}
		if _, counted := b.accounts[a.namespace][a]; counted != (a.charged() > 0) {
			t.Fatalf("an inventory that is charged %d has a share: %t", a.charged(), counted)
		}
		alone += a.index + a.listing
		charges["charged"] += a.charged()
	}
	charges["used"], charges["taken"] = b.Used(), alone
	for token, times := range held {
		charges["taken"] += token.cost
		if len(token.holders) != times || b.tokens.tokens[token.hash] != token || token.cost != tokenCost(&token.token) {
			t.Fatalf("token %s has %d holders, want %d", token.token.ID, len(token.holders), times)
		}
	}
	if charges["used"] != charges["taken"] || charges["charged"] != charges["taken"] || charges["used"] > b.most ||
		len(b.tokens.tokens) != len(held) {
		t.Fatalf("%v of %d, and %d tokens are known of %d", charges, b.most, len(b.tokens.tokens), len(held))
	}
}

// chargeModel are inventories of two servers with the same IDs.
type chargeModel struct {
	*testing.T
	random      *rand.Rand
	budget      *Budget
	attempts    *Attempts
	inventories []*Inventory
	versions    [30]int // of the tokens
}

const servers = 2

func (m *chargeModel) add(namespace int) *Inventory {
	return newInventoryOf(m.budget, fmt.Sprint(namespace), m.attempts)
}

// token returns the token k of the server of an inventory.
func (m *chargeModel) token(inventory, k int) coder.Token {
	token := newToken(fmt.Sprintf("%08x-1", k))
	token.Username = fmt.Sprintf("server %d", inventory%servers)
	token.LastUsed = listedAt.Add(-time.Duration(m.versions[k]) * time.Hour)
	token.Scopes = []string{strings.Repeat("x", 10*k)}
	if k%7 == 6 {
		token.ExpiresAt = listedAt
	}
	return token
}

// refresh lists a part of the tokens. Meanwhile other things happen.
func (m *chargeModel) refresh(at, depth int) {
	i, most := m.inventories[at], m.random.IntN(len(m.versions)+1)
	list := func(_ context.Context, filter coder.TokenFilter) (list coder.TokenList, err error) {
		for n := range most {
			if m.random.IntN(8) == 0 && depth > 0 {
				m.step(depth - 1)
			}
			token := m.token(at, n-m.random.IntN(min(n, 1)+1)) // some are listed twice
			if kept, fits := filter.Hold(&token); !fits {
				return list, errNoRoom
			} else if !isSame(kept, &token) {
				m.Fatalf("%+v is kept for %+v", kept, token)
			}
		}
		if m.random.IntN(4) == 0 {
			user := coder.UserLeftOut{UserID: "mallory", Username: "m"}
			filter.Release(func(t *coder.Token) bool { return t.ID < "00000008" })
			if !filter.Reserve(user.Size()) {
				return list, errNoRoom
			}
			list.LeftOut = append(list.LeftOut, user)
		}
		return list, nil
	}
	_, users := listReturning(nil, manyUsers(m.random.IntN(3))...)
	_, err := i.Refresh(m.Context(), list, users)
	if err != nil && !errors.Is(err, errNoRoom) && !errors.Is(err, ErrCleared) {
		m.Fatal(err)
	}
}

func (m *chargeModel) step(depth int) {
	at, k := m.random.IntN(len(m.inventories)), m.random.IntN(len(m.versions))
	switch i := m.inventories[at]; m.random.IntN(12) {
	case 0:
		i.Clear()
	case 1:
		if len(i.refreshing) == 0 {
			i.Close()
			i.Add(m.token(at, k))
			m.inventories[at] = m.add(at % 5)
		}
	case 2, 3:
		i.Add(m.token(at, k))
	case 4:
		i.Remove(m.token(at, k).ID)
	case 5:
		m.versions[k]++
	default:
		if len(i.refreshing) == 0 {
			m.refresh(at, depth)
		}
	}
	checkCharges(m.T, m.budget, m.inventories)
	for at, i := range m.inventories {
		for _, token := range i.WithPrefix("") {
			if found, ok := i.Lookup(token.ID); !ok || !isSame(&found, &token) ||
				token.Username != fmt.Sprintf("server %d", at%servers) {
				m.Fatalf("%+v is not %+v", found, token)
			}
		}
	}
}

// B130: whatever inventories of several servers list, add, remove and share, and in whatever order, they are
// together charged for exactly what they have, and that is no more than the budget.
func TestTheChargesAreWhatIsTaken(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		m := &chargeModel{T: t, random: rand.New(rand.NewPCG(seed, 1)), attempts: NewAttempts(time.Now)}
		m.budget = NewBudget(10_000 + m.random.IntN(60_000))
		for at := range 9 {
			m.inventories = append(m.inventories, m.add(at%5))
		}
		for range 300 {
			m.step(2)
		}
		for _, i := range m.inventories {
			i.Close()
		}
		checkCharges(t, m.budget, m.inventories)
		if m.budget.Used() != 0 {
			t.Errorf("%d bytes are taken after the end", m.budget.Used())
		}
	}
}

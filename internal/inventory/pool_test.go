// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"reflect"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// B130: CoderDeployments with the same server keep one copy of its tokens, until none of them has it.
func TestInventoriesShareWhatIsTheSame(t *testing.T) {
	t.Parallel()
	budget, attempts := NewBudget(DefaultBudget), NewAttempts(time.Now)
	one, other := newInventoryOf(budget, "a", attempts), newInventoryOf(budget, "b", attempts)
	refreshWith(t, one, newTokens("a-1", "b-1"))
	changed := newToken("b-1")
	changed.LastUsed = soon
	refreshWith(t, other, []coder.Token{newToken("a-1"), changed})
	if one.account.kept.find("a-1") != other.account.kept.find("a-1") {
		t.Error("the same token is kept twice")
	}
	if got, _ := one.Lookup("b-1"); !got.LastUsed.IsZero() {
		t.Error("the token of another list is taken")
	}
	if got, _ := other.Lookup("b-1"); got.LastUsed.IsZero() {
		t.Error("the token of an earlier list is taken")
	}
	want := costOf(append(newTokens("a-1", "b-1"), changed)) + holdingCost
	half := budget.Used() / 2 // the parts of a token differ by a byte
	if budget.Used() != want || one.account.charged() < half || other.account.charged() < half {
		t.Errorf("%d and %d bytes are charged, want %d together", one.account.charged(), other.account.charged(), want)
	}
	other.Clear()
	if got := one.account.charged(); got != costOf(newTokens("a-1", "b-1")) || got != budget.Used() {
		t.Errorf("%d bytes are charged when the other one is empty", got)
	}
	one.Close()
	if left := len(budget.tokens.tokens); left > 0 || budget.Used() != 0 {
		t.Errorf("%d tokens are known that no inventory has, and %d bytes charged", left, budget.Used())
	}
}

// A token that differs in any of its fields is not shared.
func TestTokensThatDifferAreNotShared(t *testing.T) {
	t.Parallel()
	same := coder.Token{ID: "x", Scopes: []string{"a"}, AllowList: []string{"b"}, ExpiresAt: soon}
	fields := reflect.TypeOf(same)
	for i := range fields.NumField() {
		other := same
		switch field := reflect.ValueOf(&other).Elem().Field(i); value := field.Interface().(type) {
		case string:
			field.SetString(value + "x")
		case bool:
			field.SetBool(!value)
		case []string:
			field.Set(reflect.ValueOf([]string{value[0] + "x"}))
		case time.Time:
			field.Set(reflect.ValueOf(value.Add(time.Second)))
		case time.Duration:
			field.SetInt(int64(value) + 1)
		default:
			t.Fatalf("%s has a type that this test does not know", fields.Field(i).Name)
		}
		tokens := newPool()
		_, hash := tokens.find(&same)
		tokens.join(&sharedToken{token: same, hash: hash}, &account{})
		if got, _ := tokens.find(&same); got == nil {
			t.Error("the same token is not found")
		}
		if got, otherHash := tokens.find(&other); got != nil || otherHash == hash {
			t.Errorf("a token with another %s is taken for the same", fields.Field(i).Name)
		}
	}
}

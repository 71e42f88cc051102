// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	if one.tokens["a-1"] != other.tokens["a-1"] {
		t.Error("the same token is kept twice")
	}
	if got, _ := one.Lookup("b-1"); !got.LastUsed.IsZero() {
		t.Error("the token of another list is taken")
	}
	if got, _ := other.Lookup("b-1"); got.LastUsed.IsZero() {
		t.Error("the token of an earlier list is taken")
	}
	other.Clear()
	one.Clear()
	count := func() int {
		budget.tokens.mu.Lock()
		defer budget.tokens.mu.Unlock()
		return len(budget.tokens.latest)
	}
	for range 1000 {
		if count() == 0 {
			break
		}
		runtime.GC()
		runtime.Gosched()
	}
	if left := count(); left > 0 {
		t.Errorf("%d tokens are known that no inventory has", left)
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
		var tokens sharedTokens
		tokens.share(&same)
		if got := tokens.share(&other); !cmp.Equal(*got, other) {
			t.Errorf("a token with another %s is taken for the same", fields.Field(i).Name)
		}
	}
}

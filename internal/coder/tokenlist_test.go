// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
)

// plainToken is a key that is decoded without any limits.
type plainToken struct {
	ID              string    `json:"id"`
	UserID          string    `json:"user_id"`
	Username        string    `json:"username"`
	Name            string    `json:"token_name"`
	LoginType       string    `json:"login_type"`
	Scope           string    `json:"scope"`
	Scopes          []string  `json:"scopes"`
	AllowList       []string  `json:"allow_list"`
	CreatedAt       time.Time `json:"created_at"`
	ExpiresAt       time.Time `json:"expires_at"`
	LastUsed        time.Time `json:"last_used"`
	LifetimeSeconds int64     `json:"lifetime_seconds"`
}

// listOf returns the answer of a server with n tokens, with names that end in suffix.
func listOf(n int, suffix string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"id":"k%09d","user_id":"1b4e28ba-0000-4000-8000-00000000000a","username":"ada",`+
			`"last_used":"2026-02-20T10:00:00Z","expires_at":"2026-03-20T10:00:00Z","created_at":"2026-02-18T10:00:00Z",`+
			`"updated_at":"2026-02-18T10:00:00Z","login_type":"token","scope":"all","scopes":["coder:all"],`+
			`"token_name":"cso-prod0001-0b1c2d3e-%d%s","lifetime_seconds":2592000,"allow_list":["*:*"]}`, i, i, suffix)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// memory holds copies of tokens, as long as they and users fit into most bytes.
type memory struct {
	most, used, users int // users are a part of what is used
	held              []*Token
}

func (m *memory) hold(token *Token) (*Token, bool) {
	if m.used+token.Size() > m.most {
		return nil, false
	}
	kept := *token
	m.held = append(m.held, &kept)
	m.used += kept.Size()
	return &kept, true
}

func (m *memory) release(isLeftOut func(*Token) bool) {
	m.held = slices.DeleteFunc(m.held, func(token *Token) bool {
		if !isLeftOut(token) {
			return false
		}
		m.used -= token.Size()
		return true
	})
}

func (m *memory) reserve(bytes int) bool {
	m.users += bytes
	m.used += bytes
	return m.used <= m.most
}

// decodeList decodes a list, of which m holds the tokens with a prefix; nil: without limits.
func decodeList(tb testing.TB, text, prefix string, m *memory) (*tokenReader, error) {
	tb.Helper()
	filter := TokenFilter{
		Keep:     func(_, name string) bool { return strings.HasPrefix(name, prefix) },
		IsServed: func(userID string) bool { return userID == servedUser },
	}
	if m != nil {
		filter.Hold, filter.Release, filter.Reserve = m.hold, m.release, m.reserve
	}
	list := newTokenReader(filter)
	err := list.decode(boundedjson.NewDecoder(strings.NewReader(text), listLimits))
	return list, err
}

func decodePlainly(text string) ([]plainToken, error) {
	body, err := io.ReadAll(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var list []plainToken
	err = json.Unmarshal(body, &list)
	return list, err
}

// B130: limits cost a list of the usual size no allocations, and what is kept of it one for each token that is not
// held already.
func TestAListTakesNoMoreAllocationsThanWithoutLimits(t *testing.T) {
	const tokens = 1000
	text := listOf(tokens, "")
	allocations := func(filter TokenFilter) float64 {
		return testing.AllocsPerRun(5, func() {
			list := newTokenReader(filter)
			err := list.decode(boundedjson.NewDecoder(strings.NewReader(text), listLimits))
			if err != nil || len(list.tokens) != tokens {
				t.Fatal(err)
			}
		})
	}
	plain := testing.AllocsPerRun(5, func() {
		if list, err := decodePlainly(text); err != nil || len(list) != tokens {
			t.Fatal(err)
		}
	})
	if kept := allocations(TokenFilter{}); kept > plain+tokens {
		t.Errorf("%.0f allocations, and %.0f without limits", kept, plain)
	}
	held := &Token{}
	again := allocations(TokenFilter{Hold: func(*Token) (*Token, bool) { return held, true }})
	if again > plain {
		t.Errorf("%.0f allocations for what is held already, and %.0f without limits", again, plain)
	}
}

// B130: what is kept of a list is limited. All that it keeps is held, as what was returned for it, and nothing else.
func TestWhatIsKeptOfAList(t *testing.T) {
	t.Parallel()
	text := listOf(1000, strings.Repeat("x", 90))
	m := &memory{most: 1 << 30}
	if list, err := decodeList(t, text, "other-", m); err != nil || len(m.held) != 0 || len(list.tokens) != 0 {
		t.Errorf("a list of others' tokens: %v, %d are held", err, len(m.held))
	}
	list, err := decodeList(t, text, "cso-", m)
	if err != nil || len(list.tokens) != 1000 || !slices.Equal(m.held, list.tokens) || m.used != list.size ||
		list.size < len(text)/2 {
		t.Errorf("%v, %d tokens, %d bytes of %d", err, len(list.tokens), m.used, list.size)
	}
	var limit *boundedjson.LimitError
	m = &memory{most: 1 << 18}
	list, err = decodeList(t, text, "cso-", m)
	if err != nil || len(list.tokens) != 0 || len(m.held) != 0 || list.list().LeftOut[0].Count != 1000 || m.users == 0 {
		t.Errorf("little memory: %v, %d are held, %+v", err, len(m.held), list.list().LeftOut)
	}
	m = &memory{most: 100}
	if list, err = decodeList(t, text, "cso-", m); !errors.As(err, &limit) || list.size > 0 {
		t.Errorf("no memory: %v, %d bytes", err, list.size)
	}
	list, err = decodeList(t, listOf(60_000, strings.Repeat("x", 90)), "cso-", nil)
	if err != nil || list.size > maxKeptTokens || list.list().LeftOut[0].Count != 60_000 {
		t.Errorf("too many: %v, %d bytes", err, list.size)
	}
}

// servedUser is the ID of a user that tokens are minted for.
const servedUser = "served"

// tokensOf returns n tokens of a user with an allow-list of some entries, in JSON.
func tokensOf(user string, n, entries int) []string {
	items, allow := make([]string, n), strings.Repeat(`,"workspace:00000000-0000-4000-8000-000000000000"`, entries)
	for i := range items {
		items[i] = fmt.Sprintf(`{"id":"%s%d","user_id":%q,"username":"name of %s","token_name":"cso-%d",`+
			`"expires_at":"2026-03-20T10:00:00Z","scopes":["coder:all"],"allow_list":["*:*"%s]}`, user, i, user, user, i, allow)
	}
	return items
}

// B130: where a list does not fit, the tokens of those users are left out who have most, and those of users that
// are served only after all others.
func TestTokensOfUsersWithManyAreLeftOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		many, served, memory int // tokens of mallory and of the served user, and bytes
		leftOut              map[string]int
	}{
		"all fit":             {100, 100, 1 << 20, map[string]int{}},
		"many of one":         {5000, 100, 1 << 20, map[string]int{"mallory": 5000}},
		"the served has more": {900, 2000, 800_000, map[string]int{"mallory": 900}},
	} {
		for order := range 2 {
			items := [][]string{tokensOf("mallory", tt.many, 0), tokensOf(servedUser, tt.served, 0), tokensOf("ada", 10, 0)}
			if order == 1 {
				slices.Reverse(items)
			}
			m := &memory{most: tt.memory}
			list, err := decodeList(t, "["+strings.Join(slices.Concat(items...), ",")+"]", "cso-", m)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			kept, leftOut := map[string]int{}, map[string]int{}
			for _, token := range list.tokens {
				kept[token.UserID]++
			}
			for _, user := range list.list().LeftOut {
				leftOut[user.UserID] = user.Count
				if user.Username != "name of "+user.UserID || kept[user.UserID] > 0 {
					t.Errorf("%s: %+v, of whom %d tokens are kept", name, user, kept[user.UserID])
				}
			}
			if !maps.Equal(leftOut, tt.leftOut) || kept["ada"] != 10 ||
				!slices.Equal(m.held, list.tokens) || list.size != m.used-m.users {
				t.Errorf("%s, %d: %v are left out, %v are kept, %d are held", name, order, leftOut, kept, len(m.held))
			}
		}
	}
}

// B130: a list whose tokens are of more users than are left out is too large as a whole.
func TestAListOfTooManyUsers(t *testing.T) {
	t.Parallel()
	var items []string
	for i := range 20_000 {
		items = append(items, tokensOf(fmt.Sprintf("user-%d", i), 1, 0)...)
	}
	var limit *boundedjson.LimitError
	list, err := decodeList(t, "["+strings.Join(items, ",")+"]", "cso-", &memory{most: 1 << 20})
	if !errors.As(err, &limit) {
		t.Errorf("%v, %d users are left out", err, len(list.leftOut))
	}
}

// B130: of one token a list keeps no larger scopes and allow-list than the operator asks for, and says so. B137:
// they are not cut.
func TestLimitsOfAListedToken(t *testing.T) {
	t.Parallel()
	for entries, leftOut := range map[int]bool{0: false, 63: false, 500: true, 600: true} {
		list, err := decodeList(t, "["+tokensOf("ada", 1, entries)[0]+"]", "cso-", nil)
		if err != nil {
			t.Fatal(err)
		}
		token := list.tokens[0]
		if token.LimitsLeftOut != leftOut || (token.Scopes == nil) != leftOut ||
			(len(token.AllowList) == entries+1) == leftOut {
			t.Errorf("%d entries: %+v", entries, token)
		}
	}
}

func BenchmarkAListOfTokens(b *testing.B) {
	text := listOf(1000, "")
	for name, decode := range map[string]func() error{
		"bounded": func() error { _, err := decodeList(b, text, "cso-", nil); return err },
		"plain":   func() error { _, err := decodePlainly(text); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

func decodeList(tb testing.TB, text, prefix string, reserve Reserve) (*tokenList, error) {
	tb.Helper()
	list := &tokenList{prefix: prefix, reserve: reserve}
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

// B130: limits cost a list of the usual size no allocations.
func TestAListTakesNoMoreAllocationsThanWithoutLimits(t *testing.T) {
	text := listOf(1000, "")
	bounded := testing.AllocsPerRun(5, func() {
		if list, err := decodeList(t, text, "cso-", nil); err != nil || len(list.tokens) != 1000 {
			t.Fatal(err)
		}
	})
	plain := testing.AllocsPerRun(5, func() {
		if list, err := decodePlainly(text); err != nil || len(list) != 1000 {
			t.Fatal(err)
		}
	})
	if bounded > plain {
		t.Errorf("%.0f allocations, and %.0f without limits", bounded, plain)
	}
}

// B130: what is kept of a list is limited, and memory is reserved for it and for nothing else.
func TestWhatIsKeptOfAList(t *testing.T) {
	t.Parallel()
	reserved, most := 0, 1<<30
	reserve := func(bytes int) bool { reserved += bytes; return reserved <= most }
	text := listOf(5000, strings.Repeat("x", 90))
	if list, err := decodeList(t, text, "other-", reserve); err != nil || reserved != 0 || len(list.tokens) != 0 {
		t.Errorf("a list of others' tokens: %v, %d bytes", err, reserved)
	}
	list, err := decodeList(t, text, "cso-", reserve)
	if err != nil || len(list.tokens) != 5000 || reserved != list.size || reserved < len(text)/2 {
		t.Errorf("%v, %d tokens, %d bytes of %d", err, len(list.tokens), reserved, list.size)
	}
	var limit *boundedjson.LimitError
	reserved, most = 0, 1<<20
	if list, err = decodeList(t, text, "cso-", reserve); !errors.As(err, &limit) || list.size > most {
		t.Errorf("no memory: %v, %d bytes", err, list.size)
	}
	list, err = decodeList(t, listOf(60_000, strings.Repeat("x", 90)), "cso-", nil)
	if !errors.As(err, &limit) || list.size > maxKeptTokens {
		t.Errorf("too many: %v, %d bytes", err, list.size)
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

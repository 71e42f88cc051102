// SPDX-License-Identifier: Apache-2.0

package hostile_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/test/hostile"
)

// limit is what the whole operator stays under (B130); this process has no caches of objects.
const limit = 256 << 20

// peak samples how much memory Go has from the system and has not given back, until it is stopped.
func peak(t *testing.T) (stop func() uint64) {
	t.Helper()
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	var most uint64
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			metrics.Read(samples)
			most = max(most, samples[0].Value.Uint64()-samples[1].Value.Uint64())
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() uint64 { cancel(); done.Wait(); return most }
}

const tokenJSON = `{"id":"a1B2c3D4e5","user_id":"u","token_name":"cso-%s","expires_at":"9999-12-31T23:59:59Z"}`

// bombs are answers of some tens of megabytes, by what reads them.
func bombs() map[string]hostile.Behaviour {
	const size = 33 << 20
	long := strings.Repeat("x", 1<<20)
	return map[string]hostile.Behaviour{
		"empty objects":  hostile.Bomb(size, "[", "{},", "{}]"),
		"nested":         hostile.Bomb(size, "", "[", ""),
		"nested objects": hostile.Bomb(size, "", `{"a":`, ""),
		"one string":     hostile.Bomb(size, `{"version":"`, "x", `"}`),
		"one name":       hostile.Bomb(size, `[{"id":"`, "x", `"}]`),
		"members":        hostile.Bomb(size, "{", `"a":{},`, `"a":1}`),
		"own tokens":     hostile.Bomb(size, "[", fmt.Sprintf(tokenJSON, "x")+",", fmt.Sprintf(tokenJSON, "y")+"]"),
		"long names":     hostile.Bomb(size, "[", fmt.Sprintf(tokenJSON, long)+",", fmt.Sprintf(tokenJSON, "y")+"]"),
		"users": hostile.Bomb(size, `{"count":100000000,"users":[`,
			`{"id":"`+long+`","username":"`+long+`","status":"suspended"},`, `{}]}`),
		"blanks": hostile.Bomb(size, "", " ", "{}"),
	}
}

// B130: ten servers at once that answer everything with bombs take no more memory than the operator may
// have, and an honest server is read meanwhile.
func TestBombsTakeNoMoreMemoryThanThereIs(t *testing.T) {
	honest := clientOf(t, hostile.Start(t, hostile.ByPath(hostile.Answer(200, `{"version":"v2.36.1"}`),
		map[string]hostile.Behaviour{"/tokens": hostile.Answer(200, "["+fmt.Sprintf(tokenJSON, "x")+"]")})))
	budget, answers := inventory.NewBudget(inventory.DefaultBudget), bombs()
	debug.FreeOSMemory() // what compressing them took
	stop := peak(t)
	var running sync.WaitGroup
	for name, bomb := range answers {
		c := clientOf(t, hostile.Start(t, bomb))
		tokens := inventory.New(inventory.Options{Prefix: "cso-", ServerNow: clock.RealClock{}.Now,
			Attempts: inventory.NewAttempts(clock.RealClock{}.Now), Budget: budget, Namespace: name})
		running.Go(func() {
			for range 2 {
				requestAll(t.Context(), c, tokens)
			}
		})
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	for reads := 0; ; reads++ {
		if tokens, err := honest.Tokens(t.Context(), coder.TokenFilter{}); err != nil || len(tokens.Tokens) != 1 {
			t.Fatalf("the honest server: %v", err)
		}
		select {
		case <-ended:
			if most := stop(); most > limit {
				t.Errorf("%d MiB at the peak", most>>20)
			} else {
				t.Logf("%d MiB at the peak, and %d lists of an honest server", most>>20, reads)
			}
			return
		default:
		}
	}
}

func clientOf(t *testing.T, at string) *coder.Client {
	t.Helper()
	origin, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	c := coder.New(coder.Config{URL: origin, Token: redact.New("a1B2c3D4e5-0123456789abcdefABCDEF"),
		Timeout: time.Minute, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
	t.Cleanup(c.CloseIdle)
	return c
}

// requestAll makes one request of each kind at the same time. Whether they succeed does not matter.
func requestAll(ctx context.Context, c *coder.Client, tokens *inventory.Inventory) {
	calls := []func() error{
		func() error { _, err := c.BuildInfo(ctx); return err },
		func() error { _, err := c.Me(ctx); return err },
		func() error { _, err := c.User(ctx, "ada"); return err },
		func() error { _, err := c.Scopes(ctx); return err },
		func() error { _, err := tokens.Refresh(ctx, c.Tokens, noUsers); return err },
		func() error { _, err := tokens.Refresh(ctx, noTokens, c.SuspendedUsers); return err },
		func() error { _, err := c.Token(ctx, "me", "x"); return err },
		func() error { _, err := c.Workspace(ctx, "ada", "dev"); return err },
		func() error { _, err := oauth.New(c, clock.RealClock{}).Discover(ctx); return err },
	}
	var all sync.WaitGroup
	for _, call := range calls {
		all.Go(func() { _ = call() })
	}
	all.Wait()
}

func noUsers(context.Context, coder.Reserve) ([]string, error) { return nil, nil }

func noTokens(context.Context, coder.TokenFilter) (coder.TokenList, error) {
	return coder.TokenList{}, nil
}

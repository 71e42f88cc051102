// SPDX-License-Identifier: Apache-2.0

package bombs_test

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/hostile"
)

// clusterID is in the names of the operator's tokens.
const clusterID = "bombs001"

// workspaceID is that of the workspace that hostile servers tell of.
const workspaceID = "1b4e28ba-0000-4000-8000-0000000000aa"

// size of a bomb, in bytes after decompression: a little less than what is read of a list.
const size = 30 << 20

// attacks are what hostile servers answer instead of what an honest one does, by the end of the path.
func attacks() []map[string]hostile.Behaviour {
	long := strings.Repeat("x", 1<<20)
	return []map[string]hostile.Behaviour{
		{"/keys/tokens": ownTokens(0)},
		{"/keys/tokens": ownTokens(1), "/watch-ws": hostile.HugeFrame("[[[["), "/workspace/dev": runningWorkspace()},
		{"/keys/tokens": ownTokens(2), "/watch-ws": hostile.Messages(event(long)), "/workspace/dev": runningWorkspace()},
		{"/keys/tokens": ownTokens(3), "/users": suspendedUsers()},
		{"/keys/tokens": ownTokens(4), "/users/x": hostile.Bomb(size, `{"id":"`, "x", `"}`)},
		{"/keys/tokens": ownTokens(5), "/auth/scopes": hostile.Bomb(size, `{"external":[`, `"a",`, `"a"]}`)},
		{"/keys/tokens": hostile.Bomb(size, "[", "{},", "{}]"), "/workspace/dev": hostile.Bomb(size, "", `{"a":`, "")},
		{"/keys/tokens": hostile.Bomb(size, `[{"id":"`, "x", `"}]`), "/tokenconfig": hostile.Bomb(size, "", "[", "")},
		{"/users": suspendedUsers(), "/buildinfo": hostile.Bomb(size, `{"version":"`, "x", `"}`)},
		{"/users/me": hostile.Bomb(size, "{", `"a":{},`, `"a":1}`)},
	}
}

// ownTokens is a list of tokens with names of the operator's, which takes some 15 MiB when it is kept.
func ownTokens(server int) hostile.Behaviour {
	created := time.Now().UTC().Format(time.RFC3339) // younger than an orphan
	list := hostile.List(40_000, "[", func(i int) string {
		return fmt.Sprintf(`{"id":"k%d%08d","user_id":"1b4e28ba-0000-4000-8000-%012d","username":"user-%d",`+
			`"token_name":"cso-%s-%08x-1","login_type":"token","scopes":["all"],"allow_list":["*:*"],`+
			`"created_at":%q,"expires_at":"9999-12-31T23:59:59Z"}`, server, i, i, i, clusterID, i, created)
	}, "]")
	return list
}

// suspendedUsers is a page with more users than a page has, with long names.
func suspendedUsers() hostile.Behaviour {
	name := strings.Repeat("é", 128)
	return hostile.List(90_000, `{"count":100000000,"users":[`, func(i int) string {
		return fmt.Sprintf(`{"id":"%d-%s","username":"u","status":"suspended"}`, i, name)
	}, "]}")
}

func runningWorkspace() hostile.Behaviour {
	return hostile.Answer(http.StatusOK, workspace(""))
}

func workspace(more string) string {
	return fmt.Sprintf(`{"id":%q,"name":"dev","owner_id":"o","owner_name":"ada","latest_build":{"id":"b",`+
		`"build_number":1,"transition":"start","status":"running","updated_at":"2026-01-01T00:00:00Z"}%s}`, workspaceID, more)
}

// event is an event of a workspace's stream, with a long string that nothing needs.
func event(long string) string {
	return `{"type":"data","data":` + workspace(fmt.Sprintf(`,"x":%q`, long)) + `}`
}

// startHostile starts a server that answers as an honest one does, except for the attack.
func startHostile(t *testing.T, honest string, attack map[string]hostile.Behaviour) string {
	t.Helper()
	target, err := url.Parse(honest)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target).ServeHTTP
	return hostile.Start(t, hostile.Only(http.MethodGet, hostile.ByPath(proxy, attack), proxy))
}

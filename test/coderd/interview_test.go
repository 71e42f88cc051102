// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// interview asks a simulated server with the users that the real ones had: the owner admin, the
// member ada with the workspaces dev and del (deleted), the member bob, and ci-bot, who cannot log
// in.
type interview struct {
	*provider
	bobToken string
	bot      coderd.User
	ws, gone coderd.Workspace
	lastID   string // of the key that was minted last
}

func newInterview(t *testing.T, profile coderd.Profile) *interview {
	t.Helper()
	v := &interview{provider: newProviderWith(t, coderd.Options{Profile: profile, DisableRateLimits: true})}
	var err error
	if _, v.ownerToken, _ = v.createUser(coderd.UserOptions{
		Username: "admin", Roles: []string{coderd.RoleOwner}}); v.ownerToken == "" {
		t.Fatal("no owner")
	}
	_, v.bobToken, _ = v.createUser(coderd.UserOptions{Username: "bob"})
	v.bot, err = v.server.CreateUser(coderd.UserOptions{Username: "ci-bot", LoginType: coderd.LoginTypeNone})
	v.must(err)
	_, err = v.server.CreateUser(coderd.UserOptions{Username: "sus", Status: coderd.StatusSuspended})
	v.must(err)
	v.gone = v.createWorkspace(coderd.WorkspaceOptions{Name: "del"})
	v.must(v.server.DeleteWorkspace("ada/del"))
	v.ws = v.createWorkspace(coderd.WorkspaceOptions{})
	return v
}

// ask asks a question: by its script, or else as it was recorded.
func (v *interview) ask(q question) response {
	if script := scripts[q.Name]; script != nil {
		return script(v)
	}
	req := v.newRequest(q.Method, v.fill(q.Name, q.Path), "", v.fill(q.Name, q.Body))
	for _, header := range q.Headers {
		switch name, value, _ := strings.Cut(header, ": "); name {
		case "Coder-Session-Token":
			req.Header.Set(name, v.credential(q.Name))
		case "Authorization":
			req.Header.Set(name, value+" "+v.credential(q.Name))
		case "Content-Type":
			req.Header.Set(name, value)
		case "Cookie":
			req.AddCookie(&http.Cookie{Name: "coder_session_token", Value: v.credential(q.Name)})
		}
	}
	res, err := v.send(req)
	v.must(err)
	if strings.HasPrefix(res.text, `{"key":"`) {
		v.lastID = res.text[len(`{"key":"`):][:10]
	}
	return res
}

// scopedName is the name of a question that is asked with a scoped token.
var scopedName = regexp.MustCompile(`^[bd]3?-scoped-(.+?)(?:-(allow-[a-z-]*?))?-` +
	`(?:by-id|by-name|by-name-me|list|users-me|mint-other|mint-self|mint|own-key|delete-own-key|workspaces|users-q)$`)

// fill replaces what stands for a value in a recorded path or body.
func (v *interview) fill(name, text string) string {
	id := v.bot.ID
	switch {
	case strings.HasPrefix(name, "d-deleted"):
		id = v.gone.ID
	case strings.HasPrefix(name, "d-") && !strings.Contains(name, "unknown"):
		id = v.ws.ID
	case strings.Contains(name, "unknown-uuid"), strings.Contains(name, "-unknown"):
		id = "1b4e28ba-0000-4000-8000-00000000000a"
	}
	values := map[string]string{
		"status-quoted": `status:"suspended"`, "two-statuses": "status:suspended,active",
	}
	for part, value := range values {
		if strings.Contains(name, part) {
			text = strings.ReplaceAll(text, "{value}", url.QueryEscape(value))
		}
	}
	beyond := "9223372036854775808"
	switch {
	case strings.Contains(name, "max-plus"):
		beyond = "3155760000000000001"
	case strings.Contains(name, "168h-plus"):
		beyond = "604800000000001"
	case !strings.Contains(text, `"lifetime": {n}`):
		beyond = "1"
	}
	return strings.NewReplacer("{uuid}", id, "{UUID}", strings.ToUpper(v.bot.ID), "{n}", beyond, "{value}", "x",
		"{key id}", v.lastID, "{api key}", v.credential(name)).Replace(text)
}

// credential is the token that a question is asked with.
func (v *interview) credential(name string) string {
	switch {
	case strings.HasPrefix(name, "a5-bad-shape-"):
		return badShapes[strings.TrimPrefix(name, "a5-bad-shape-")]
	case scopedName.MatchString(name):
		return v.scopedCredential(name)
	case strings.HasPrefix(name, "d-workspace-by-name-owner"), strings.HasSuffix(name, "asowner"):
		return v.ownerToken
	case strings.HasSuffix(name, "-hidden"):
		return v.bobToken
	case strings.HasPrefix(name, "d-"), strings.HasSuffix(name, "-member"), strings.Contains(name, "-member-"),
		strings.HasSuffix(name, "-self-member-by-name"):
		return v.adaToken
	}
	return v.ownerToken
}

// badShapes are values that are no tokens.
var badShapes = map[string]string{
	"coder-secret-shape": "coder_abcdefghij_" + strings.Repeat("x", 40), "dash-only": "-",
	"empty-secret": "abcdefghij-", "jwt": "a.b.c", "long-id": "abcdefghijk-" + strings.Repeat("x", 22),
	"long-secret": "abcdefghij-" + strings.Repeat("x", 23), "no-dash": strings.Repeat("x", 33),
	"short-id": "abcdefghi-" + strings.Repeat("x", 22), "short-secret": "abcdefghij-" + strings.Repeat("x", 21),
	"two-dashes": "abcdefghij-" + strings.Repeat("x", 11) + "-" + strings.Repeat("x", 10),
}

// scopedCredential makes a token with the scopes and the allow list that a question's name tells.
func (v *interview) scopedCredential(name string) string {
	parts := scopedName.FindStringSubmatch(name)
	o := coderd.TokenOptions{User: "ada"}
	if strings.HasPrefix(name, "b3-") {
		o.User = "admin"
	}
	for scope := range strings.SplitSeq(scopeNames.Replace(parts[1]), "-") {
		o.Scopes = append(o.Scopes, strings.Replace(scope, ".", ":", 1))
	}
	switch {
	case parts[1] == "allowlist":
		o.AllowList = []string{"workspace:*"}
	case parts[2] == "allow-workspaces":
		o.AllowList = []string{"workspace:*"}
	case parts[2] == "allow-workspace":
		o.AllowList = []string{"workspace:" + v.ws.ID}
	case parts[2] == "allow-all-four":
		o.AllowList = []string{"workspace:" + v.ws.ID, "template:*", "organization_member:*", "user:*"}
	}
	token, key, err := v.server.CreateToken(o)
	v.must(err)
	v.lastID = key.ID
	return token
}

// scopeNames spells out the short names of scopes in questions.
var scopeNames = strings.NewReplacer("apikey-star", "api_key.*", "apikey-and", "api_key.*", "star", "*",
	"manage_self", "coder.apikeys.manage_self", "application_connect", "coder.application_connect",
	"coder.workspaces.access", "coder.workspaces.access", "access", "coder.workspaces.access", "allowlist", "coder.all")

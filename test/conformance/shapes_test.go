// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestShapes(t *testing.T) {
	t.Parallel()
	key := "abcdefghij-" + strings.Repeat("x", 22)
	for name, tc := range map[string]struct {
		want, got string
		strict    bool
		found     string // "" is none
	}{
		"same":                   {`{"message":"<text: not found>"}`, `{"message":"It was Not Found."}`, true, ""},
		"fragment":               {`{"message":"<text: not found>"}`, `{"message":"gone"}`, true, `does not say "not found"`},
		"two fragments":          {`{"d":"<text: a; b>"}`, `{"d":"a"}`, true, `d does not say "b"`},
		"empty text":             {`{"message":"<text>"}`, `{"message":""}`, true, "message is a text instead of <text>"},
		"missing field":          {`{"a":"<any>"}`, `{}`, false, "a is missing"},
		"optional field":         {`{"a?":"<string>"}`, `{}`, true, ""},
		"optional field's type":  {`{"a?":"<string>"}`, `{"a":1}`, true, "a is a number"},
		"new field":              {`{}`, `{"a":1}`, false, ""},
		"new field, strict":      {`{}`, `{"a":1}`, true, "a is not in the recorded answer"},
		"word":                   {`{"e":"invalid_grant"}`, `{"e":"invalid_client"}`, true, `e is "invalid_client"`},
		"word of another type":   {`{"error":"invalid_grant"}`, `{"error":null}`, true, "error is null"},
		"number":                 {`{"n":86400}`, `{"n":0}`, true, "n is a number instead of 86400"},
		"equal number":           {`{"n":86400}`, `{"n":86400}`, true, ""},
		"null":                   {`null`, `null`, true, ""},
		"list instead of null":   {`null`, `[]`, true, "is a list"},
		"null instead of a list": {`[]`, `null`, true, "is null instead of a list"},
		"items":                  {`["<string>"]`, `["a","b"]`, true, ""},
		"no items":               {`["<string>"]`, `[]`, true, "has 0 items instead of 1"},
		"items may be absent":    {`["<may be empty>","<string>"]`, `[]`, true, ""},
		"unknown items":          {`["<may be empty>"]`, `[1]`, true, ""},
		"an item's type":         {`["<string>"]`, `["a",1]`, true, "[] is a number"},
		"set":                    {`["b","a"]`, `["a","b","b"]`, true, ""},
		"another set":            {`["b","a"]`, `["a"]`, true, "is [a] instead of [a b]"},
		"uuid":                   {`{"id":"<uuid>"}`, `{"id":"x"}`, true, "id is a text instead of <uuid>"},
		"a secret is not shown":  {`{"id":"<uuid>"}`, `{"id":"` + key + `"}`, true, "id is <api key> instead of <uuid>"},
		"time":                   {`{"t":"<time>"}`, `{"t":"2026-02-20T10:00:00.1Z"}`, true, ""},
		"year":                   {`{"t":"<time 1970>"}`, `{"t":"0001-01-01T00:00:00Z"}`, true, "instead of <time 1970>"},
		"url":                    {`{"u":"<url>/oauth2/tokens"}`, `{"u":"https://c.example/oauth2/tokens"}`, true, ""},
		"url's path":             {`{"u":"<url>/oauth2/tokens"}`, `{"u":"https://c.example/x"}`, true, "u is a text"},
		"bool":                   {`{"b":"<bool>"}`, `{"b":false}`, true, ""},
		"object":                 {`{"o":{}}`, `{"o":[]}`, true, "o is a list instead of an object"},
		"anything":               {`"<any>"`, `[1]`, true, ""},
	} {
		var got any
		if err := json.Unmarshal([]byte(tc.got), &got); err != nil {
			t.Fatal(err)
		}
		c := &comparison{strict: tc.strict}
		c.compareBodies(json.RawMessage(tc.want), got)
		found := strings.Join(c.found, "; ")
		if (found == "") != (tc.found == "") || !strings.Contains(found, tc.found) || strings.Contains(found, key) {
			t.Errorf("%s: found %q, want %q", name, found, tc.found)
		}
	}
}

func TestBodiesThatAreNotJSON(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ want, contentType, body, found string }{
		{`"<empty>"`, "", "", ""},
		{`"<empty>"`, "text/plain", "x", "is plain text instead of empty"},
		{`"<html>"`, "text/html; charset=utf-8", "<p>", ""},
		{`"<html>"`, "application/json", `{}`, "is JSON instead of a page"},
		{`"<plain text: CSRF>"`, "text/plain", "bad csrf token", ""},
		{`"<plain text: CSRF>"`, "text/plain", "bad", "does not say"},
		{`"<plain text>"`, "application/json", `{}`, "is JSON instead of plain text"},
		{`{"a":1}`, "text/html", "<p>", "is a page instead of JSON"},
		{`{"a":1}`, "application/json", "{", "is plain text instead of JSON"},
	} {
		c := &comparison{}
		c.compareBodies(json.RawMessage(tc.want), decodeShape(tc.contentType, []byte(tc.body)))
		if found := strings.Join(c.found, "; "); (found == "") != (tc.found == "") || !strings.Contains(found, tc.found) {
			t.Errorf("%s, %s: found %q, want %q", tc.want, tc.body, found, tc.found)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	base, err := url.Parse("https://coder.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ header, value, want string }{
		"challenge": {
			"WWW-Authenticate", `Bearer realm="coder", error="invalid_token", error_description="x", resource_metadata="y"`,
			"Bearer realm error=invalid_token error_description resource_metadata",
		},
		"callback":     {"Location", "http://localhost:1/cb?state=a&code=b", "<other origin>/cb?code&state"},
		"refusal":      {"Location", "http://localhost:1/cb?error=access_denied", "<other origin>/cb?error=access_denied"},
		"own page":     {"Location", "/login?redirect=x&message=y", "/login?message&redirect"},
		"own origin":   {"Location", "https://coder.example/login", "/login?"},
		"media type":   {"Content-Type", "application/json; charset=utf-8", "application/json"},
		"only present": {"X-Coder-Build-Version", "v2.35.0", present},
	} {
		got := headersOf("", nil, http.Header{http.CanonicalHeaderKey(tc.header): {tc.value}}, base)
		if len(got) != 1 || got[http.CanonicalHeaderKey(tc.header)] != tc.want {
			t.Errorf("%s: %v, want %q", name, got, tc.want)
		}
	}
	header := http.Header{"Allow": {"GET"}, "X-Ratelimit-Limit": {"1"}}
	if got := headersOf("", nil, header, base); len(got) != 0 {
		t.Errorf("not asked for: %v", got)
	}
	if got := headersOf(rateLimitGroup, map[string]string{"Allow": present}, header, base); len(got) != 2 {
		t.Errorf("asked for: %v", got)
	}
}

func TestChoiceOfProfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		wanted   Profile
		version  string
		provider bool
		profile  Profile
		note     string
	}{
		{"", "v2.30.4+abc", false, ProfileR30, ""},
		{"", "v2.31.0-rc.1+abc", false, ProfileMid, ""},
		{"", "v2.37.11", false, ProfileMid, ""},
		{"", "v2.38.1+abc", true, ProfileNew, "No server since 2.38"},
		{"", "v2.24.0", false, ProfileR30, "older than 2.30"},
		{"", "v0.0.0-devel+abc", false, ProfileR30, "has no number"},
		{"", "v0.0.0-devel+abc", true, ProfileNew, ""},
		{"", "main", false, ProfileR30, "has no number"},
		{ProfileR30, "v2.38.1", true, ProfileR30, ""},
	} {
		profile, notes, err := chooseProfile(tc.wanted, tc.version, tc.provider)
		if err != nil || profile != tc.profile || !strings.Contains(strings.Join(notes, " "), tc.note) {
			t.Errorf("%+v: %s, %v, %v", tc, profile, notes, err)
		}
	}
	if _, _, err := chooseProfile("OLD", "v2.30.0", false); err == nil {
		t.Error("OLD is no profile")
	}
}

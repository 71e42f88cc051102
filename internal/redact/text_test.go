// SPDX-License-Identifier: Apache-2.0

package redact_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// A key and a secret in the formats of contract A.4.
const (
	key    = "a1B2c3D4e5-0123456789abcdefABCDEF"
	secret = "coder_0123456789_0123456789abcdefghij0123456789ABCDEFGHIJ"
)

func TestTextHidesCredentialsAndNothingElse(t *testing.T) { // B91
	t.Parallel()
	tests := map[string]struct{ in, want string }{
		"nothing":              {"token \"k8s-ns1-db\" exists in 2026-01-05", "token \"k8s-ns1-db\" exists in 2026-01-05"},
		"uuid":                 {"user 1b4e28ba-0000-4000-8000-00000000000a", "user 1b4e28ba-0000-4000-8000-00000000000a"},
		"flag, space":          {"coder --token x1 list", "coder --token [redacted] list"},
		"flag, equals":         {"coder --TOKEN=x1 list", "coder --TOKEN=[redacted] list"},
		"flag, quoted":         {`--token "x1 y" list`, `--token "[redacted]" list`},
		"flag, in a Go list":   {`["coder" "--token" "x1" "list"]`, `["coder" "--token" "[redacted]" "list"]`},
		"flag, in a JSON list": {`["coder","--token","x1","list"]`, `["coder","--token","[redacted]","list"]`},
		"longer flag":          {"--session-token x1", "--session-token [redacted]"},
		"variable":             {"CODER_SESSION_TOKEN=x1 coder", "CODER_SESSION_TOKEN=[redacted] coder"},
		"variable, lower case": {"coder_session_token='x1 y' coder", "coder_session_token='[redacted]' coder"},
		"header":               {"Coder-Session-Token: x1", "Coder-Session-Token: [redacted]"},
		"header, lower case":   {"coder-session-token:x1", "coder-session-token:[redacted]"},
		"header, in a Go map": {"map[Accept:[a] Coder-Session-Token:[x1 ] Host:[h]]",
			"map[Accept:[a] Coder-Session-Token:[[redacted] ] Host:[h]]"},
		"header, in JSON": {`{"Coder-Session-Token":"x1","a":"b"}`, `{"Coder-Session-Token":"[redacted]","a":"b"}`},
		"header, in quoted JSON": {
			`"{\"Coder-Session-Token\":\"x1\"}"`, `"{\"Coder-Session-Token\":\"[redacted]"}"`,
		},
		"authorization":         {"Authorization: Bearer x1\nHost: h", "Authorization: [redacted]\nHost: h"},
		"authorization, basic":  {"authorization: basic eA==", "authorization: [redacted]"},
		"authorization, quoted": {`{"Authorization":"Bearer x1","a":"b"}`, `{"Authorization":"[redacted]","a":"b"}`},
		"proxy authorization":   {"Proxy-Authorization: Basic eA==", "Proxy-Authorization: [redacted]"},
		"bearer alone":          {"sent BEARER x1 to h", "sent BEARER [redacted] to h"},
		"query": {"Get \"https://h/p?a=x1&b=x2#c=x3\": EOF",
			"Get \"https://h/p?a=[redacted]&b=[redacted]#c=[redacted]\": EOF"},
		"query, relative":     {"GET /cb?code=x1&state=x2 HTTP/1.1", "GET /cb?code=[redacted]&state=[redacted] HTTP/1.1"},
		"query, empty value":  {"/p?a=&b=x2", "/p?a=&b=[redacted]"},
		"user info":           {"proxy http://u:x1@h:3128/p refused", "proxy http://[redacted]@h:3128/p refused"},
		"user info, at in it": {"http://u:x@1@h/a@b", "http://[redacted]@h/a@b"},
		"no user info":        {"https://h/users/a@b", "https://h/users/a@b"},
		"key":                 {"sent " + key + ", refused", "sent [redacted], refused"},
		"key among dashes":    {"a-" + key + "-b", "a-[redacted]-b"},
		"two keys":            {key + " " + key, "[redacted] [redacted]"},
		"nearly a key":        {key + "0", key + "0"},
		"oauth secret":        {"got " + secret + ".", "got [redacted]."},
		"oauth form":          {"client_secret=x1&refresh_token=x2 sent", "client_secret=[redacted] sent"},
		"oauth JSON":          {`{"refresh_token" : "x1", "a": 1}`, `{"refresh_token" : "[redacted]", "a": 1}`},
		"oauth in prose":      {"the client_secret: must be set", "the client_secret: must be set"},
		"private key": {"a\n-----BEGIN EC PRIVATE KEY-----\nx1\n-----END EC PRIVATE KEY-----\nb",
			"a\n[redacted]\nb"},
		"private key, cut off": {"a -----BEGIN PRIVATE KEY-----\\nx1", "a [redacted]"},
		"certificate":          {"-----BEGIN CERTIFICATE-----\nx1", "-----BEGIN CERTIFICATE-----\nx1"},
		"one inside the other": {"/?a=--token x1", "/?a=[redacted] [redacted]"},
		"one value is a name":  {"--token --token x1", "--token [redacted] [redacted]"},
		"redacted before": {"--token [redacted] Authorization: [[redacted]",
			"--token [redacted] Authorization: [[redacted]"},
		"value after a redacted": {"Coder-Session-Token: [redacted]x1", "Coder-Session-Token: [redacted]"},
		"empty":                  {"", ""},
		"name at the end":        {"--token", "--token"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, redact.Text(tt.in)); diff != "" {
				t.Errorf("Text(%q):\n%s", tt.in, diff)
			}
		})
	}
}

// secretForms are the written forms of B91 and the formats of contract A.4, each with its secret.
func secretForms() map[string]string {
	const s = sentinel
	return map[string]string{
		"--token " + s: s, "--token=" + s: s, "--ToKeN \"" + s + "\"": s,
		"CODER_SESSION_TOKEN=" + s: s, "coder_session_token=" + s: s,
		"Coder-Session-Token: " + s: s, "coder-session-token:" + s: s,
		"Authorization: Bearer " + s: s, "AUTHORIZATION: bearer " + s: s,
		"https://h/p?q=" + s: s, "https://h/p?a=b&q=" + s + "&c=d": s,
		"https://u:" + s + "@h/": s, "HTTPS://" + s + "@h/": s,
		" " + key + " ": key, " " + secret: secret,
		"-----BEGIN PRIVATE KEY-----" + s + "-----END PRIVATE KEY-----": s,
	}
}

// FuzzText looks for text around a credential that prevents its redaction.
func FuzzText(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""}, {"[", "]"}, {"?a=", "&b=c"}, {"--token ", " --token"}, {"\"", "\""}, {"//x@", "@y"},
		{"Authorization: [", "\n"},
		{"-----BEGIN PRIVATE KEY-----", "-----END"}, {"[redacted]", "[redacted]"}, {"\\", "\\\""}, {"[[redacted]", "]["},
		{"\xff", "\x00"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before+after, sentinel) || strings.Contains(before+after, key) ||
			strings.Contains(before+after, secret) {
			return
		}
		once := redact.Text(before + after)
		if twice := redact.Text(once); twice != once {
			t.Errorf("not idempotent: %q, then %q", once, twice)
		}
		if utf8.ValidString(before+after) && !utf8.ValidString(once) {
			t.Errorf("cut a rune: %q", once)
		}
		for form, hidden := range secretForms() {
			if out := redact.Text(before + form + after); strings.Contains(out, hidden) {
				t.Errorf("%q survives in %q", form, out)
			}
		}
	})
}

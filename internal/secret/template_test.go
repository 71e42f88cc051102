// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

func renderTemplate(tb testing.TB, text string) (string, error) {
	tb.Helper()
	rendered, err := Render(testKey(tb), completeInput(newSession(withTemplate("key", text))))
	if err != nil {
		return "", err
	}
	return string(rendered.Data["key"]), nil
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"nothing": {"", ""},
		"fields": {"{{.URL}} {{.Host}} {{.User}} {{.Token}}",
			"https://coder.example.com:8443 coder.example.com ada " + tokenValue},
		"a header":         {`{{index .Headers "X-Edge"}}`, headerText},
		"in other letters": {`{{index .Headers "x-edge"}}`, headerText},
		"an empty header":  {`[{{index .Headers "X-Empty"}}]`, "[]"},
		"all headers":      {`{{range $k, $v := .Headers}}{{$k}}={{len $v}};{{end}}`, "X-Edge=20;X-Empty=0;"},
		"conditions":       {`{{if eq .User "ada"}}yes{{else}}no{{end}}`, "yes"},
		"variables":        {`{{$u := .User}}{{with .Host}}{{$u}}@{{.}}{{end}}`, "ada@coder.example.com"},
		"b64enc":           {`{{printf "%s:%s" .User "x" | b64enc}}`, "YWRhOng="},
		"quote":            {`{{quote "a\"<b>\n"}}`, `"a\"<b>\n"`},
		"json":             {`{{json .Headers}}`, `{"X-Edge":"` + headerText + `","X-Empty":""}`},
		"trim":             {`{{trim "  a b\n"}}`, "a b"},
		"indent":           {"{{indent 2 \"a\\nb\"}}", "  a\n  b"},
		"print":            {`{{print .User 1 true}}`, "ada1true"},
		"printf":           {`{{printf "%-5s|%03d|%q|%%" .User 7 "x"}}`, `ada  |007|"x"|%`},
		"urlquery":         {`{{urlquery "a b&c"}}`, "a+b%26c"},
		"slice":            {`{{slice .User 0 2}}`, "ad"},
		"only definitions": {`{{define "x"}}y{{end}}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := renderTemplate(t, test.text)
			if err != nil || got != test.want {
				t.Errorf("%q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// doublingTemplate returns a template whose variable is 2^n times as long as the token.
func doublingTemplate(n int) string {
	return `{{$x := .Token}}` + strings.Repeat(`{{$x = print $x $x}}`, n)
}

func TestTemplatesThatFail(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"syntax": {"{{", "unclosed action"},
		"unknown field": {"\n {{.Tokn}}",
			"line 2, column 3: there is no .Tokn: write .URL, .Host, .Token, .User or .Headers"},
		"unknown in a text":  {"{{.Token.Nope}}", "can't evaluate field Nope in type string"},
		"missing map key":    {"{{.Headers.Nope}}", `map has no entry for key "Nope"`},
		"missing header":     {`{{index .Headers "Nope"}}`, "the CoderDeployment has no header of that name"},
		"header by token":    {`{{index .Headers .Token}}`, "the CoderDeployment has no header of that name"},
		"range over a token": {`{{range .Token.X}}{{end}}`, "can't evaluate field X"},
		"range over texts":   {`{{range true}}{{end}}`, "it cannot be evaluated"},
		"encoded in a range": {`{{range (b64enc .Token)}}{{end}}`, ""},
		"slice out of range": {`{{slice .Token 1000}}`, "it cannot be evaluated"},
		"unlike values":      {`{{lt .Token 1}}`, "incompatible types for comparison"},
		"other functions":    {`{{html .Token}}`, `function "html" cannot be used here`},
		"in brackets":        {`{{if (not (js .Token))}}{{end}}`, `function "js" cannot be used here`},
		"after else":         {`{{if .User}}{{else}}{{call .Token}}{{end}}`, `function "call" cannot be used here`},
		"files":              {`{{readFile "/etc/passwd"}}`, "not defined"},
		"environment":        {`{{env "HOME"}}`, "not defined"},
		"the payment":        {`{{turn 0}}`, `function "turn" cannot be used here`},
		"include":            {`{{define "a"}}x{{end}}{{template "a"}}`, "cannot be used here"},
		"recursion": {`{{define "a"}}{{template "a"}}{{template "a"}}{{end}}{{template "a"}}`,
			"cannot be used here"},
		"block":             {`{{block "a" .}}x{{end}}`, "cannot be used here"},
		"endless range":     {`{{range 9000000000000000000}}{{end}}`, "it repeats too often"},
		"nested ranges":     {`{{range 60000}}{{range 60000}}{{range 60000}}{{end}}{{end}}{{end}}`, "it repeats too often"},
		"range in a branch": {`{{if .User}}{{with .Host}}{{range 9000000000}}{{end}}{{end}}{{end}}`, "it repeats too often"},
		"else of a range":   {`{{range 0}}{{else}}{{range 9000000000}}{{end}}{{end}}`, "it repeats too often"},
		"long output": {`{{range 3000}}` + strings.Repeat("0123456789", 10) + `{{end}}`,
			"it makes more than 262144 bytes"},
		"doubling": {doublingTemplate(2000), "it handles a text of more than 65536 bytes"},
		"doubling, encoded": {strings.ReplaceAll(doublingTemplate(2000), "print $x $x", "json $x | json | b64enc"),
			"it handles a text"},
		"doubling, spread": {`{{$x := "\n"}}` + strings.Repeat(`{{$x = indent 64 (print $x $x)}}`, 100),
			"it handles a text"},
		"many texts":         {doublingTemplate(9) + `{{range 1000}}{{$y := trim $x}}{{end}}`, "it repeats too often"},
		"wide directives":    {`{{printf "%1000000d" 1}}`, "printf: write directives"},
		"widths from values": {`{{printf "%*d" 1000000 1}}`, "printf: write directives"},
		"indexes":            {`{{printf "%[1]s%[1]s" .Token}}`, "printf: write directives"},
		"hidden directives":  {`{{printf "%%[1]s%%%[1]s" .Token}}`, "printf: write directives"},
		"indent too far":     {`{{indent 1000000 .Token}}`, "from 0 to 64"},
		"indent backwards":   {`{{indent -1 .Token}}`, "from 0 to 64"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := renderTemplate(t, test.text)
			var failed *TemplateError
			if !errors.As(err, &failed) || failed.Key != "key" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			mustNotLeak(t, err) // B90
		})
	}
}

func TestTemplatesTogetherFitIntoASecret(t *testing.T) {
	t.Parallel()
	spec := v1alpha1.GeneratedSecret{Template: map[string]string{}}
	for i := range 5 {
		spec.Template[fmt.Sprint("key", i)] = `{{range 500}}` + strings.Repeat("0123456789", 50) + `{{end}}`
	}
	_, err := Render(testKey(t), newInput(newSession(withSecret(spec))))
	var failed *TemplateError
	if !errors.As(err, &failed) || failed.Key != "key4" {
		t.Errorf("got %v", err)
	}
}

func TestTemplatesCannotTakeTheOperatorsKeys(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"url", "session", "CODER_URL", "CODER_SESSION_TOKEN", "headers", "tls.crt", "tls.key",
		"ca.crt"} {
		_, err := Render(testKey(t), newInput(newSession(withTemplate(key, "x"))))
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"{{.Token}}", `{{index .Headers "X-Edge" | b64enc | quote}}`, "{{range $k, $v := .Headers}}{{$k}}{{end}}",
		`{{printf "%s" .User | indent 4}}`, `{{json .}}`, `{{range .Token}}{{end}}`, doublingTemplate(30),
		"{{range 99999999}}{{end}}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "sentinel") {
			return // an error may quote the template
		}
		got, err := renderTemplate(t, text) // B25: it returns, and does not panic
		mustNotLeak(t, err)
		if len(got) > maxOutput || len(got) > corev1.MaxSecretSize {
			t.Errorf("%d bytes", len(got))
		}
	})
}

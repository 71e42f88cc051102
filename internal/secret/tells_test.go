// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// inputWith is an input with the values of a secret: an URL, a header and the token.
func inputWith(text, host, header, token string) Input {
	in := completeInput(newSession(withTemplate("key", text)))
	in.URL = &url.URL{Scheme: "https", Host: host}
	in.Headers = []Header{{Name: "X-Edge", Value: redact.New(header)}}
	in.Token.Value = redact.New(token)
	return in
}

// said is all that is known outside of the Secret of an attempt to render it.
func said(tb testing.TB, in Input) string {
	tb.Helper()
	rendered, err := Render(testKey(tb), in)
	if err != nil {
		return err.Error()
	}
	if size := len(rendered.Data["key"]); size > corev1.MaxSecretSize {
		tb.Errorf("the API server refuses a key of %d bytes", size)
	}
	if _, found := rendered.Data["key"]; !found {
		return "the key is missing"
	}
	return "rendered"
}

// tellingTemplates fail, or not, or elsewhere, depending on one character, or on the length, of a value.
var tellingTemplates = map[string]string{
	"position of a header's character": "{{$h := index .Headers \"X-Edge\"}}" +
		"{{if eq (slice $h 0 1) \"a\"}}\n{{.Nope}}{{else}}\n\n{{.Nope}}{{end}}",
	"a header's character":   `{{if eq (slice (index .Headers "X-Edge") 0 1) "a"}}{{.Nope}}{{end}}`,
	"a token's character":    `{{if eq (slice .Token 0 1) "a"}}{{.Nope}}{{end}}`,
	"a token's order":        `{{if lt .Token "m"}}{{slice .User 1000}}{{end}}`,
	"a header's length":      `{{slice (index .Headers "X-Edge") 0 5}}`,
	"a token's length":       `{{if gt (len .Token) 5}}{{range 9000000000}}{{end}}{{end}}`,
	"which field is missing": `{{if eq (slice .Token 0 1) "a"}}{{.A}}{{else}}{{.B}}{{end}}`,
	"a header that is named": `{{index .Headers (slice .Token 0 1)}}`,
	"a quoted value":         `{{range .Token}}{{end}}`,
	"how long it takes":      `{{if eq (slice .Token 0 1) "a"}}{{range 32000}}x{{end}}{{end}}`,
	"how long the output is": `{{if eq (slice .Token 0 1) "a"}}{{range 3000}}` + strings.Repeat("0", 100) +
		`{{end}}{{end}}`,
	"a directive of a header": `{{printf (index .Headers "X-Edge") 1}}`,
	"an indent":               `{{indent (len (index .Headers "X-Edge")) "x"}}`,
	"a number of iterations":  `{{range (len .Token)}}{{range 2000}}{{end}}{{end}}`,
	"the host":                `{{if eq .Host "a.example"}}{{.Nope}}{{end}}`,
	"the address":             `{{if eq (slice .URL 8 9) "a"}}{{.Nope}}{{end}}`,
	"whether it is empty":     `{{if not (index .Headers "X-Edge")}}{{.Nope}}{{end}}`,
	"a comparison":            `{{if lt (index .Headers "X-Edge") .Token}}{{lt .Token 1}}{{end}}`,
}

// B133: what is seen outside of the Secret is the same whatever the values are.
func TestTemplatesTellNothing(t *testing.T) {
	t.Parallel()
	for name, text := range tellingTemplates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := said(t, inputWith(text, "a.example", "a", "aaa"))
			for _, in := range []Input{
				inputWith(text, "b.example", "b", "bbb"),
				inputWith(text, "coder.example.com", madeUpHeader, madeUpToken),
				inputWith(text, "a.example", "", "a"),
				inputWith(text, "b.example", strings.Repeat("%", 1000), strings.Repeat("z", 70_000)),
			} {
				if got := said(t, in); got != want {
					t.Errorf("%q and %q", want, got)
				}
			}
		})
	}
}

// B133: a template that fails with the real values only leaves its key empty, and the other keys as they are.
func TestATemplateThatFailsWithTheRealValuesOnly(t *testing.T) {
	t.Parallel()
	in := inputWith(`{{if ne (slice .Token 0 10) "0000000000"}}{{.Nope}}{{end}}x`, "coder.example.com", "h", tokenValue)
	in.Session.Spec.Secret.Template["other"] = "{{.Token}}"
	rendered, err := Render(testKey(t), in)
	if err != nil || len(rendered.Data["key"]) != 0 || string(rendered.Data["other"]) != tokenValue {
		t.Errorf("%v, %d bytes, other %q", err, len(rendered.Data["key"]), rendered.Data["other"])
	}
}

// Outputs that would make the Secret too large with the real values are left out.
func TestTemplatesThatAreTooLongWithTheRealValuesOnly(t *testing.T) {
	t.Parallel()
	in := inputWith("x", "coder.example.com", "h", tokenValue)
	for _, key := range strings.Fields("a b c d e") {
		in.Session.Spec.Secret.Template[key] = `{{if ne (slice .Token 0 1) "0"}}{{range 500}}` +
			strings.Repeat("0123456789", 50) + `{{end}}{{end}}`
	}
	rendered, err := Render(testKey(t), in)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for key, value := range rendered.Data {
		size += len(key) + len(value)
	}
	if size > corev1.MaxSecretSize || len(rendered.Data["a"]) != 250_000 || len(rendered.Data["e"]) != 0 {
		t.Errorf("the Secret has %d bytes, a %d and e %d", size, len(rendered.Data["a"]), len(rendered.Data["e"]))
	}
}

// B133, for any template.
func FuzzTemplatesTellNothing(f *testing.F) {
	for _, text := range tellingTemplates {
		f.Add(text, "a", "b")
	}
	f.Fuzz(func(t *testing.T, text, a, b string) {
		if strings.ContainsAny(a+b, "\r\n") || a == "" || b == "" {
			return
		}
		one, other := said(t, inputWith(text, "a.example", a, a)), said(t, inputWith(text, "b.example", b, b))
		if one != other {
			t.Errorf("%q and %q", one, other)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// B91: a credential in base64 is recognised, wherever it begins in what was encoded. Other base64
// texts stay.
func TestTextHidesCredentialsInBase64(t *testing.T) {
	t.Parallel()
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding,
		base64.RawURLEncoding} {
		for _, before := range []string{"", " ", "  ", "   ", `{"token":"`, "export CODER_SESSION_TOKEN="} {
			for _, credential := range []string{key, secret} {
				for _, after := range []string{"", "\n", `","x":"ÿÿ>>??"}`} {
					text := "denied: data: " + encoding.EncodeToString([]byte(before+credential+after)) + " is not allowed"
					if got := redact.Text(text); got != "denied: data: [redacted] is not allowed" {
						t.Errorf("%q: %q", before+credential+after, got)
					}
				}
			}
		}
	}
	for _, text := range []string{
		base64.StdEncoding.EncodeToString([]byte(strings.Repeat("nothing to hide ", 8))),
		hex.EncodeToString([]byte("a digest of thirty-two bytes ...")),
		"/api/v2/users/1b4e28ba-0000-4000-8000-00000000000a/keys/tokens/cso-prod0001-0b1c2d3e-1",
	} {
		if got := redact.Text(text); got != text {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// B143: a known value is hidden in every form in which it comes back.
func TestKnownValuesAreHidden(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"edge", "edge secret/42+\"&<é", "0123456789abcdef"} {
		known := redact.NewKnown(redact.New(value), redact.New("on"), redact.Secret{})
		quoted, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		for name, form := range map[string]string{
			"plain": value, "query": url.QueryEscape(value), "path": url.PathEscape(value),
			"JSON":      strings.Trim(string(quoted), `"`),
			"base64":    base64.StdEncoding.EncodeToString([]byte(value)),
			"in base64": base64.RawURLEncoding.EncodeToString([]byte("X-Edge: " + value + "\r\nHost: h")),
			"shifted":   base64.StdEncoding.EncodeToString([]byte("user:" + value)),
		} {
			got := known.Hide("refused: " + form + ", on")
			if got != "refused: [redacted], on" {
				t.Errorf("%s: %q: %q", name, form, got)
			}
		}
	}
	other := redact.NewKnown(redact.New("first")).With(redact.New("second"), redact.New("second and third"))
	if got := other.Text("first, second and third, " + key); got != "[redacted], [redacted], [redacted]" {
		t.Errorf("got %q", got)
	}
	if got := (redact.Known{}).Hide("on"); got != "on" {
		t.Errorf("got %q", got)
	}
}

// SPDX-License-Identifier: Apache-2.0

package tokenformat_test

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/tokenformat"
)

const token = "a1B2c3D4e5-S3NT1NELs3nt1nelS3NT1N" // contract A.4

// utf16Of encodes a text in UTF-16, little endian.
func utf16Of(text string) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return string(out)
}

func TestParseIgnoresWhiteSpaceAround(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{token, token + "\n", " " + token + "\r\n\r\n", "", " \r\n\t"} {
		want := strings.TrimSpace(raw)
		if got, err := tokenformat.Parse([]byte(raw)); err != nil || got.Reveal() != want {
			t.Errorf("%q: %q, %v", raw, got.Reveal(), err)
		}
	}
	if id, ok := tokenformat.ID(redact.New(token)); !ok || id != "a1B2c3D4e5" {
		t.Errorf("id %q, %t", id, ok)
	}
}

// B12, B90
func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	standard := base64.StdEncoding
	const twice = "is base64 of a token, so it was encoded twice: write the token under stringData, or encode it once"
	for name, tc := range map[string]struct{ raw, want string }{
		"byte order mark": {
			"\uFEFF" + token,
			"begins with a byte order mark: write the token without it, in UTF-8",
		},
		"a space before it": {
			" \uFEFF" + token,
			"begins with a byte order mark: write the token without it, in UTF-8",
		},
		"UTF-16":                {utf16Of("\uFEFF" + token), "is UTF-16: write the token in UTF-8"},
		"UTF-16 without a mark": {utf16Of(token + "\r\n"), "is UTF-16: write the token in UTF-8"},
		"quotation marks": {
			`"` + token + "\"\n",
			"is in quotation marks: write the token alone",
		},
		"single ones": {"'" + token + "'", "is in quotation marks: write the token alone"},
		"JSON":        {`{"token":"` + token + `"}`, "is JSON: write the token alone"},
		"bearer": {
			"Bearer " + token,
			"begins with the scheme of an Authorization header, such as Bearer: write the token alone",
		},
		"a variable": {
			"CODER_SESSION_TOKEN=" + token,
			"begins with a name: write the token alone",
		},
		"an exported variable": {
			"export CODER_SESSION_TOKEN='" + token + "'",
			"begins with a name: write the token alone",
		},
		"a header": {
			"Coder-Session-Token: " + token,
			"begins with a name: write the token alone",
		},
		"two lines": {token + "\n" + token, "holds more than one line: write the token alone"},
		"a line break in it": {
			token[:20] + "\n" + token[20:], "holds more than one line: write the token alone",
		},
		"a NUL":         {token + "\x00", "holds a control character: write the token alone"},
		"a space in it": {token + " # ci", "holds white space: write the token alone"},
		"encoded twice": {
			standard.EncodeToString([]byte(token)),
			twice,
		},
		"with a line break": {
			standard.EncodeToString([]byte(token + "\n")),
			twice,
		},
		"a UUID": {
			"0b0e4a1c-5c3a-4f61-9a1e-3a9f7c2b1d00",
			"is a UUID, such as that of a workspace or of its agent, and no token of a user",
		},
		"a refresh token": {
			"coder_" + strings.Repeat("a", 10) + "_" + strings.Repeat("b", 40),
			"is a client secret, a code or a refresh token of OAuth2",
		},
		"cut off":      {token[:20], "is cut off after 20 of 33 characters: "},
		"the id alone": {token[:10], "is cut off after 10 of 33 characters: "},
		"too long": {
			token + "x",
			"is no Coder token: a token has 10 characters, \"-\", and 22 characters",
		},
		"two hyphens":            {strings.Replace(token, "-", "--", 1), "is no Coder token: "},
		"another character":      {strings.Replace(token, "S", "_", 1), "is no Coder token: "},
		"letters of a language":  {strings.Replace(token, "S", "ß", 1), "is no Coder token: "},
		"a token of another one": {"ghp_" + strings.Repeat("x", 36), "is no Coder token: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tokenformat.Parse([]byte(tc.raw))
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) || !got.IsZero() {
				t.Fatalf("got  %v\nwant %s", err, tc.want)
			}
			if strings.Contains(err.Error(), "S3NT") || strings.Contains(err.Error(), token[:10]) {
				t.Errorf("%q shows the value", err)
			}
			if _, ok := tokenformat.ID(redact.New(tc.raw)); ok {
				t.Error("it has an id")
			}
		})
	}
}

// Any value is a token, empty, or refused with a text that shows none of it (B90).
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", token, token + "\n", "Bearer x", "\x00", "\xff\xfe", "=", "a=b", "{", "\uFEFF"} {
		f.Add([]byte(seed))
	}
	shape := regexp.MustCompile(`^[0-9A-Za-z]{10}-[0-9A-Za-z]{22}$`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := tokenformat.Parse(raw)
		value := strings.TrimSpace(string(raw))
		if (err == nil) != (value == "" || shape.MatchString(value)) {
			t.Errorf("%q: %v", raw, err)
		}
		if err == nil && got.Reveal() != value {
			t.Errorf("%q became %q", raw, got.Reveal())
		}
		if err != nil && len(value) > 20 && strings.Contains(err.Error(), value) {
			t.Errorf("%q shows in %q", value, err)
		}
	})
}

// Contract A.3
func TestHasSessionCookie(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"": false, "_oauth2_proxy=abc": false, "CF_Authorization=e30; a=coder_session_token": false,
		"coder_session_token=x": true, "a=b; coder_session_token=x": true, "a=b;Coder_Session_Token =x": true,
		"__Host-coder_session_token=x": true, "coder_session_token": true,
	} {
		if got := tokenformat.HasSessionCookie(header); got != want {
			t.Errorf("%q: %t", header, got)
		}
	}
}

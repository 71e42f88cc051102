// SPDX-License-Identifier: Apache-2.0

package boundedjson_test

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
)

var small = boundedjson.Limits{Read: 1 << 10, Value: 128, String: 8, Depth: 2}

// B130: what exceeds the limits of depth and strings is left out, and the rest is decoded as it is.
func TestWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`{"a":[1,"x",null]}`:                    `{"a":[1,"x",null]}`,
		`{"a":[[1],{"b":"}]"}],"c":2}`:          `{"a":[0,0],"c":2}`,
		`[{"a":{"b":{"c":[]}}},3]`:              `[{"a":0},3]`,
		`"0123456789"`:                          `"01234567"`,
		`"\"\\\n\u00e9\ud83d\ude00xyz"`:         "\"\\\"\\\\\\n\u00e9\U0001f600xy\"",
		`["0123456\u00e98","0123456\\8"]`:       "[\"0123456\u00e9\",\"0123456\\\\\"]",
		`{"0123456789":"0123456789\"","b":"c"}`: `{"01234567":"01234567","b":"c"}`,
	} {
		var got, expected any
		if err := boundedjson.Decode(iotest.OneByteReader(strings.NewReader(document)), small, &got); err != nil {
			t.Errorf("%s: %v", document, err)
		}
		if err := json.Unmarshal([]byte(want), &expected); err != nil || !reflect.DeepEqual(got, expected) {
			t.Errorf("%s: got %v, want %v (%v)", document, got, expected, err)
		}
		if filtered := boundedjson.Filter([]byte(document), small); document[0] != '"' {
			var again any
			if err := json.Unmarshal(filtered, &again); err != nil || !reflect.DeepEqual(again, expected) {
				t.Errorf("%s: filtered to %s", document, filtered)
			}
		}
	}
}

// B130: limits of bytes and of items are errors, which quote nothing.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		document io.Reader
		limit    bool
		want     error
	}{
		"a long document":         {strings.NewReader(strings.Repeat(" ", 2<<10)), true, nil},
		"a long left-out value":   {strings.NewReader(`[[[` + strings.Repeat("1,", 2<<10)), true, nil},
		"a large value":           {strings.NewReader("[" + strings.Repeat("1,", 500) + "1]"), true, nil},
		"a long number":           {strings.NewReader(strings.Repeat("1", 1000)), true, nil},
		"no JSON":                 {strings.NewReader("secret"), false, boundedjson.ErrShape},
		"nothing":                 {strings.NewReader(""), false, boundedjson.ErrShape},
		"cut off":                 {strings.NewReader(`[1`), false, boundedjson.ErrShape},
		"more than one":           {strings.NewReader(`[1] [2]`), false, boundedjson.ErrShape},
		"an error of the reader":  {iotest.ErrReader(broken), false, broken},
		"an error within a value": {io.MultiReader(strings.NewReader(`[1`), iotest.ErrReader(broken)), false, broken},
	} {
		var got []int
		err := boundedjson.Decode(tt.document, small, &got)
		var limit *boundedjson.LimitError
		if errors.As(err, &limit) != tt.limit || tt.want != nil && !errors.Is(err, tt.want) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// B130: a document of any length is decoded one element at a time, within the limit of one value.
func TestArraysAreDecodedByElement(t *testing.T) {
	t.Parallel()
	limits := small
	limits.Read, limits.Depth = 1<<20, 3
	document := `{"x":[1],"items":[` + strings.Repeat(`{"n":1},`, 10_000) + `{"n":1}],"n":7}`
	decode := func(document string, most int) (sum, n int, err error) {
		d := boundedjson.NewDecoder(strings.NewReader(document), limits)
		err = d.Object(func(name string) error {
			switch name {
			case "items":
				return d.Array(most, func() error {
					var item struct{ N int }
					err := d.Value(&item)
					sum += item.N
					return err
				})
			case "n":
				return d.Value(&n)
			}
			return d.Skip()
		})
		return sum, n, errors.Join(err, d.End())
	}
	if sum, n, err := decode(document, 10_001); sum != 10_001 || n != 7 || err != nil {
		t.Errorf("got %d, %d, %v", sum, n, err)
	}
	if sum, n, err := decode(`{"items":null,"n":7}`, 1); sum != 0 || n != 7 || err != nil {
		t.Errorf("got %d, %d, %v", sum, n, err)
	}
	var limit *boundedjson.LimitError
	if sum, _, err := decode(document, 10_000); sum != 10_000 || !errors.As(err, &limit) {
		t.Errorf("too many: %d, %v", sum, err)
	}
	for _, wrong := range []string{"", "null", "[]", "{", `{"items":{}}`, `{"items":[1`, `{"items":[1}`, `{"items"}`,
		`{"items":[{"n":"x"}]}`, `{7:1}`, `{} {}`} {
		if _, _, err := decode(wrong, 10); !errors.Is(err, boundedjson.ErrShape) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// B143: no character that changes a line, a terminal or the direction of writing is kept, and a string
// that had to be changed is not one that could have been sent.
func TestStringsAreCleaned(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "owner": "owner", "Ada Lovelace": "Ada Lovelace", "Zoë 日本": "Zoë 日本",
		"a\nb\r\tc\x00\x1b[31m":                     "a\ufffdb\ufffd\ufffdc\ufffd\ufffd[31m",
		"ad\u202emin\u2066\u200b\u2028\u00a0\ufeff": "ad\ufffdmin\ufffd\ufffd\ufffd\ufffd\ufffd",
		"\xff\xfeok":             "\ufffd\ufffdok",
		strings.Repeat("x", 128): strings.Repeat("x", 128),
		strings.Repeat("x", 129): strings.Repeat("x", 127) + "…",
		strings.Repeat("é", 128): strings.Repeat("é", 128),
		strings.Repeat("é", 129): strings.Repeat("é", 127) + "…",
	} {
		if got := boundedjson.Clean(text, boundedjson.MaxWord); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		encoded, err := json.Marshal(map[string]string{"w": text, "l": text})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			W boundedjson.Word
			L boundedjson.Line
		}
		if err := json.Unmarshal(encoded, &got); err != nil || string(got.W) != want ||
			string(got.L) != boundedjson.Clean(text, boundedjson.MaxLine) {
			t.Errorf("%q: decoded to %q and %q, %v", text, got.W, got.L, err)
		}
	}
	var null struct{ W boundedjson.Word }
	if err := json.Unmarshal([]byte(`{"w":null}`), &null); err != nil || null.W != "" {
		t.Errorf("null: %q, %v", null.W, err)
	}
	if json.Unmarshal([]byte(`{"w":7}`), &null) == nil {
		t.Error("a number was taken for a string")
	}
	if got := boundedjson.CleanAll([]string{"a\n", "b"}); got[0] != "a\ufffd" || got[1] != "b" {
		t.Errorf("got %q", got)
	}
}

// B130: within the limits, a document is decoded as by encoding/json. Beyond them memory depends on
// the limits only, and nothing panics.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\u00e9\\",null,true],"b":{"c":[{}]}}`, `"\"`, `[`, `]]]`, `{"a":"` +
		strings.Repeat("x", 100) + `"}`, `["\u12"]`, `[{}1]`, "\xff", `"\ud83d"`} {
		f.Add(seed)
	}
	wide := boundedjson.Limits{Read: 1 << 20, Value: 1 << 20, String: 1 << 20, Depth: 1000}
	f.Fuzz(func(t *testing.T, document string) {
		var got, want any
		err := boundedjson.Decode(strings.NewReader(document), wide, &got)
		if expected := json.Unmarshal([]byte(document), &want); (err == nil) != (expected == nil) ||
			err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v (%v), want %v (%v)", document, got, err, want, expected)
		}
		if boundedjson.Decode(strings.NewReader(document), small, &got) == nil && depthOf(got) > small.Depth {
			t.Errorf("%q: %v is too deep", document, got)
		}
		cleaned := boundedjson.Clean(document, 16)
		if utf8.RuneCountInString(cleaned) > 16 || strings.ContainsFunc(cleaned, func(r rune) bool {
			return !unicode.IsPrint(r)
		}) || boundedjson.Clean(cleaned, 16) != cleaned {
			t.Errorf("%q: cleaned to %q", document, cleaned)
		}
	})
}

func depthOf(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			deepest = max(deepest, depthOf(element))
		}
	case map[string]any:
		for _, element := range v {
			deepest = max(deepest, depthOf(element))
		}
	default:
		return 0
	}
	return deepest + 1
}

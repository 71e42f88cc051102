// SPDX-License-Identifier: Apache-2.0

package fingerprint_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
)

// sentinel is a key that must not appear anywhere.
const sentinel = "sentinel-key-sentinel-key-sentinel-key"

func newKey(t *testing.T, raw string) fingerprint.Key {
	t.Helper()
	key, err := fingerprint.NewKey([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSumHasTheFormOfAFingerprint(t *testing.T) {
	t.Parallel()
	sum := newKey(t, sentinel).Digest("test").Field("token", "value").Sum()
	if !regexp.MustCompile(`^hmac-sha256:[0-9a-f]{32}$`).MatchString(sum) {
		t.Errorf("got %q, want hmac-sha256: and 32 hexadecimal digits", sum)
	}
}

// A fingerprint in a status must be the same in later versions of the program.
func TestSumIsStableAcrossVersions(t *testing.T) {
	t.Parallel()
	sum := newKey(t, strings.Repeat("k", fingerprint.KeySize)).
		Digest("test").Field("a", "1", "2").Bytes("b", []byte("3")).Sum()
	if want := "hmac-sha256:1a4ce7f254fd0a77ae3575d41fbd57f3"; sum != want {
		t.Errorf("got %s, want %s", sum, want)
	}
}

func TestSumCanBeAskedAgainAndLater(t *testing.T) {
	t.Parallel()
	digest := newKey(t, sentinel).Digest("test").Field("a", "1")
	first := digest.Sum()
	if second := digest.Sum(); second != first {
		t.Errorf("the second Sum is %s, the first was %s", second, first)
	}
	if later := digest.Field("b", "2").Sum(); later == first {
		t.Error("a further field makes no difference")
	}
}

func TestSumDiffersForDifferentInputs(t *testing.T) {
	t.Parallel()
	inputs := map[string]func(fingerprint.Key) *fingerprint.Digest{
		"empty":                func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("d") },
		"another domain":       func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("e") },
		"a name in the domain": func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("da") },
		"a field of no value":  func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("d").Field("a") },
		"a field of an empty":  func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("d").Field("a", "") },
		"empty bytes":          func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("d").Bytes("a", nil) },
		"one value":            func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("d").Field("a", "bc") },
		"bytes": func(k fingerprint.Key) *fingerprint.Digest {
			return k.Digest("d").Bytes("a",
				[]byte("bc"))
		},
		"two values":            func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("d").Field("a", "b", "c") },
		"the same, other order": func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("d").Field("a", "c", "b") },
		"two fields": func(k fingerprint.Key) *fingerprint.Digest {
			return k.Digest("d").Field("a",
				"b").Field("a", "c")
		},
		"a longer name":       func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("d").Field("ab", "c") },
		"a value with a zero": func(k fingerprint.Key) *fingerprint.Digest { return k.Digest("d").Field("a", "b\x00c") },
		"a value that is framed": func(k fingerprint.Key) *fingerprint.Digest {
			return k.Digest("d").Field("a", "b\x00\x00\x00\x00\x00\x00\x00\x01c")
		},
	}
	key, other := newKey(t, sentinel), newKey(t, strings.ToUpper(sentinel))
	seen := make(map[string]string)
	for name, input := range inputs {
		for under, k := range map[string]fingerprint.Key{"a key": key, "another key": other} {
			sum, what := input(k).Sum(), name+" under "+under
			if twin, ok := seen[sum]; ok {
				t.Errorf("%q and %q have the same fingerprint", what, twin)
			}
			seen[sum] = what
		}
	}
}

// Two ways to split the same text give different digests.
func FuzzSumTellsHowValuesAreCut(f *testing.F) {
	f.Add("abc", uint8(1), uint8(2))
	f.Add("\x00\x00\x00\x00\x00\x00\x00\x01", uint8(0), uint8(8))
	key, err := fingerprint.NewKey([]byte(sentinel))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, i, j uint8) {
		a, b := int(i)%(len(text)+1), int(j)%(len(text)+1)
		one := key.Digest("d").Field("f", text[:a], text[a:]).Sum()
		two := key.Digest("d").Field("f", text[:b], text[b:]).Sum()
		if (one == two) != (a == b) {
			t.Errorf("%q cut at %d and %d: %s and %s", text, a, b, one, two)
		}
		one = key.Digest("d").Field(text[:a], text[a:]).Sum()
		two = key.Digest("d").Field(text[:b], text[b:]).Sum()
		if (one == two) != (a == b) {
			t.Errorf("name and value of %q cut at %d and %d: %s and %s", text, a, b, one, two)
		}
	})
}

func TestNewKeyRefusesAShortKey(t *testing.T) {
	t.Parallel()
	for length, wantError := range map[int]bool{0: true, 31: true, 32: false, 33: false, 64: false} {
		if _, err := fingerprint.NewKey(make([]byte, length)); (err != nil) != wantError {
			t.Errorf("%d bytes: got error %v, want one: %t", length, err, wantError)
		}
	}
}

func TestAllBytesOfAKeyCount(t *testing.T) {
	t.Parallel()
	raw := strings.Repeat("k", 40)
	if newKey(t, raw).Digest("d").Sum() == newKey(t, raw[:39]+"x").Digest("d").Sum() {
		t.Error("two keys that differ in their last byte make the same fingerprint")
	}
}

func TestNewKeyDoesNotKeepItsArgument(t *testing.T) {
	t.Parallel()
	raw := []byte(sentinel)
	key, err := fingerprint.NewKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	before := key.Digest("d").Sum()
	clear(raw)
	if key.Digest("d").Sum() != before {
		t.Error("the key changed with the slice that it was made from")
	}
}

func TestTheZeroKeyMakesNoFingerprint(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a digest under the zero Key does not panic")
		}
	}()
	fingerprint.Key{}.Digest("d")
}

func TestPrintingAKeyShowsNothingOfIt(t *testing.T) {
	t.Parallel()
	key := newKey(t, sentinel)
	holder := struct{ key fingerprint.Key }{key}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n"+verb+"\n", key, &key, holder)
	}
	encoded, err := json.Marshal(map[string]any{"key": key})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	for _, leak := range []string{sentinel, fmt.Sprintf("%x", sentinel), fmt.Sprintf("%d", []byte(sentinel[:4]))[1:12]} {
		if strings.Contains(strings.ToLower(out.String()), leak) {
			t.Errorf("%q shows in:\n%s", leak, &out)
		}
	}
}

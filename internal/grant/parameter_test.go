// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"encoding/base64"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
)

func testKey() fingerprint.Key {
	key, err := fingerprint.NewKey([]byte("a key for tests, of 32 and more bytes"))
	if err != nil {
		panic(err)
	}
	return key
}

// B141: none but an operator with the key makes a parameter for a session.
func TestParametersOfAnotherKey(t *testing.T) {
	t.Parallel()
	other, err := fingerprint.NewKey([]byte("another key for tests, of 32 bytes"))
	if err != nil {
		t.Fatal(err)
	}
	session := types.NamespacedName{Namespace: "builds", Name: "ci"}
	if got, ok := SessionOf(testKey(), Parameter(other, session, "random")); ok {
		t.Errorf("got %s", got)
	}
}

func TestParametersNameTheirSession(t *testing.T) { // B62
	t.Parallel()
	for _, session := range []types.NamespacedName{
		{Namespace: "builds", Name: "ci"},
		{Namespace: strings.Repeat("n", 63), Name: strings.Repeat("s", 253)},
		{Namespace: "0-9", Name: "a.b-c.d"},
	} {
		parameter := Parameter(testKey(), session, strings.Repeat("r", 43))
		if got, ok := SessionOf(testKey(), parameter); !ok || got != session {
			t.Errorf("got %s, %v", got, ok)
		}
		if !strings.Contains(parameter, "."+strings.Repeat("r", 43)+".") || strings.ContainsAny(parameter, "+/= &%?#") {
			t.Errorf("%s is not fit for a query", parameter)
		}
	}
}

func TestForeignParameters(t *testing.T) { // B62
	t.Parallel()
	signed := func(body string) string { return body + "." + tagOf(testKey(), body) }
	of := func(text string) string {
		return signed(base64.RawURLEncoding.EncodeToString([]byte(text)) + ".random")
	}
	for name, parameter := range map[string]string{
		"nothing":                 "",
		"no tag":                  "YnVpbGRzL2Np.random",
		"an empty tag":            "YnVpbGRzL2Np.random.",
		"the tag of another part": "YnVpbGRzL2Np.random." + tagOf(testKey(), "YnVpbGRzL2Nk.random"),
		"not base64":              signed("%%%.random"),
		"padded base64":           signed("YnVpbGRzL2M=.random"),
		"no session":              signed(".random"),
		"no name":                 of("builds/"),
		"no namespace":            of("/ci"),
		"one name":                of("ci"),
		"three names":             of("builds/ci/x"),
		"a name for a shell":      of("builds/ci;reboot"),
		"a name for a page":       of("builds/<script>"),
		"a flag for a name":       of("builds/--all"),
		"a namespace of no one's": of("Builds/ci"),
		"not text":                of("builds/\xff"),
		"far too long":            of("builds/ci") + strings.Repeat("r", maxParameter),
	} {
		if got, ok := SessionOf(testKey(), parameter); ok || got != (types.NamespacedName{}) {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// For any input from a browser: the returned names are valid object names.
func FuzzSessionOf(f *testing.F) {
	f.Add(Parameter(testKey(), types.NamespacedName{Namespace: "builds", Name: "ci"}, "random"))
	f.Add("YnVpbGRzL2Np.")
	f.Add(".....")
	f.Fuzz(func(t *testing.T, parameter string) {
		session, ok := SessionOf(testKey(), parameter)
		if !ok {
			if session != (types.NamespacedName{}) {
				t.Errorf("got %s", session)
			}
			return
		}
		if len(validation.IsDNS1123Label(session.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(session.Name)) > 0 {
			t.Errorf("got %s", session)
		}
		if again, ok := SessionOf(testKey(), Parameter(testKey(), session, "x")); !ok || again != session {
			t.Errorf("%s becomes %s", session, again)
		}
	})
}

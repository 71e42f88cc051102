// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"encoding/base64"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestParametersNameTheirSession(t *testing.T) { // B62
	t.Parallel()
	for _, session := range []types.NamespacedName{
		{Namespace: "builds", Name: "ci"},
		{Namespace: strings.Repeat("n", 63), Name: strings.Repeat("s", 253)},
		{Namespace: "0-9", Name: "a.b-c.d"},
	} {
		parameter := Parameter(session, strings.Repeat("r", 43))
		if got, ok := SessionOf(parameter); !ok || got != session {
			t.Errorf("got %s, %v", got, ok)
		}
		if !strings.HasSuffix(parameter, "."+strings.Repeat("r", 43)) || strings.ContainsAny(parameter, "+/= &%?#") {
			t.Errorf("%s is not fit for a query", parameter)
		}
	}
}

func TestForeignParameters(t *testing.T) { // B62
	t.Parallel()
	of := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) + ".random" }
	for name, parameter := range map[string]string{
		"nothing":                 "",
		"no random part":          strings.TrimSuffix(of("builds/ci"), ".random"),
		"not base64":              "%%%.random",
		"padded base64":           "YnVpbGRzL2M=.random",
		"no session":              ".random",
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
		if got, ok := SessionOf(parameter); ok || got != (types.NamespacedName{}) {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// For any input from a browser: the returned names are valid object names.
func FuzzSessionOf(f *testing.F) {
	f.Add(Parameter(types.NamespacedName{Namespace: "builds", Name: "ci"}, "random"))
	f.Add("YnVpbGRzL2Np.")
	f.Add(".....")
	f.Fuzz(func(t *testing.T, parameter string) {
		session, ok := SessionOf(parameter)
		if !ok {
			if session != (types.NamespacedName{}) {
				t.Errorf("got %s", session)
			}
			return
		}
		if len(validation.IsDNS1123Label(session.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(session.Name)) > 0 {
			t.Errorf("got %s", session)
		}
		if again, ok := SessionOf(Parameter(session, "x")); !ok || again != session {
			t.Errorf("%s becomes %s", session, again)
		}
	})
}

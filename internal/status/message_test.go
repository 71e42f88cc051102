// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

func TestMessagesAreCutAfterRedaction(t *testing.T) { // B90
	t.Parallel()
	dots := strings.Repeat(".", maxMessage)
	tests := map[string]struct{ message, want string }{
		"as long as it may be":        {dots, dots},
		"one byte more":               {dots + ".", dots[:1021] + "…"},
		"between two characters":      {strings.Repeat("ä", 513), strings.Repeat("ä", 510) + "…"},
		"no UTF-8":                    {"a\xffb", "a\uFFFDb"},
		"continuation bytes":          {strings.Repeat("\x80", 5000), "\uFFFD"},
		"a credential over the limit": {dots[:1010] + " " + credential, dots[:1010] + " " + redact.Mark},
		"a credential because of the cut": {
			dots[:987] + " a1B2c3D4e5-" + strings.Repeat("s", 60), dots[:987] + " " + redact.Mark + "…"},
		"a value because of the cut": {
			dots[:1018] + "?a= " + dots[:20], dots[:1011] + "…"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var conditions []metav1.Condition
			Set(&conditions, 1, noon, newReady("False", "Paused", test.message))
			if got := conditions[0].Message; got != test.want {
				t.Errorf("%d bytes: %q, want %q", len(got), got, test.want)
			}
		})
	}
}

func FuzzCleanMessage(f *testing.F) {
	for _, text := range []string{"", "ä", "\xff", credential, "?a= ", "--token x ", "Bearer ", "//a@", "\x00<"} {
		for _, before := range []uint16{0, 980, 990, 1018, 1020} {
			f.Add(text, before)
		}
	}
	f.Fuzz(func(t *testing.T, text string, before uint16) {
		long := strings.Repeat(".", int(before)) + strings.Repeat(text, 3)
		for _, limit := range []int{maxShortMessage, maxMessage} {
			got := cleanMessage(long, limit)
			if len(got) > limit || !utf8.ValidString(got) {
				t.Errorf("%d bytes of %d: %q", len(got), limit, got)
			}
			if again := cleanMessage(got, limit); again != got {
				t.Errorf("%q became %q", got, again)
			}
		}
	})
}

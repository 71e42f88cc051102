// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// B110: a Secret that is too large is found before it is written, with its size and its largest part.
func TestSizeProblem(t *testing.T) {
	t.Parallel()
	large := []byte(strings.Repeat("x", corev1.MaxSecretSize))
	for name, tc := range map[string]struct {
		change func(*Input)
		want   string
	}{
		"small":      {func(*Input) {}, ""},
		"CA bundle":  {func(in *Input) { in.CA = large }, "shorten the CA bundle"},
		"the rest":   {func(in *Input) { in.CA = large[:len(large)-8] }, "shorten the CA bundle"},
		"just fits":  {func(in *Input) { in.CA = large[:len(large)-512] }, ""},
		"the key":    {func(in *Input) { in.CertificateKey = redact.New(string(large)) }, "client certificate"},
		"the chain":  {func(in *Input) { in.Certificate = large }, "shorten the client certificate"},
		"one header": {func(in *Input) { in.Headers[0].Value = redact.New(string(large)) }, "shorten the headers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := completeInput(newSession())
			tc.change(&in)
			got := SizeProblem(in)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q in it", got, tc.want)
			}
			if tc.want != "" && !strings.HasPrefix(got, "the Secret would have 10") {
				t.Errorf("%q does not say the size", got)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A request of any length is truncated to the 64 characters that the status can hold.
func TestRequests(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 64)
	for name, tc := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"none":               {nil, ""},
		"another annotation": {map[string]string{"credentials.coder.com/other": "x"}, ""},
		"a time": {map[string]string{AnnotationRenewRequestedAt: "2026-03-01T12:00:00Z"},
			"2026-03-01T12:00:00Z"},
		"as long as it may be": {map[string]string{AnnotationRenewRequestedAt: long}, long},
		"longer than that":     {map[string]string{AnnotationRenewRequestedAt: long + "b"}, long},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := &CoderSession{ObjectMeta: metav1.ObjectMeta{Annotations: tc.annotations}}
			if got := session.RenewalRequest(); got != tc.want {
				t.Errorf("request %q, want %q", got, tc.want)
			}
			deployment := &CoderDeployment{}
			if value, found := tc.annotations[AnnotationRenewRequestedAt]; found {
				deployment.Annotations = map[string]string{AnnotationVerifyRequestedAt: value}
			}
			if got := deployment.VerificationRequest(); got != tc.want {
				t.Errorf("request %q, want %q", got, tc.want)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// The renewal is known also while it cannot be done, and not of tokens that are meant to end.
func TestTokenTimes(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	after := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: issued.Add(d)} }
	for name, tt := range map[string]struct {
		change func(*v1alpha1.CoderSession)
		// renewal and end in hours after the token was issued; 0: none.
		renewal, end float64
	}{
		"the next refresh is known": {
			func(s *v1alpha1.CoderSession) { s.Status.NextRefreshTime = after(time.Hour) }, 1, 9},
		"it is not":                   {func(*v1alpha1.CoderSession) {}, 6, 9},
		"nor when the token was made": {func(s *v1alpha1.CoderSession) { s.Status.Token.IssueTime = nil }, 7, 9},
		"renewed as asked": {func(s *v1alpha1.CoderSession) {
			s.Spec.Rotation = &v1alpha1.Rotation{RenewBefore: ptr.To(v1alpha1.Duration("1h"))}
		}, 8, 9},
		"supplied": {func(s *v1alpha1.CoderSession) {
			s.Spec.Auth = v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{}}
		}, 0, 9},
		"no token":  {func(s *v1alpha1.CoderSession) { s.Status.Token = nil }, 0, 0},
		"no end":    {func(s *v1alpha1.CoderSession) { s.Status.Token.ExpirationTime = nil }, 0, 0},
		"no Secret": {func(s *v1alpha1.CoderSession) { s.Status.Secret = nil }, 0, 0},
		"paused":    {func(s *v1alpha1.CoderSession) { s.Spec.Paused = true }, 0, 0},
		"deleted":   {func(s *v1alpha1.CoderSession) { s.DeletionTimestamp = after(0) }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &v1alpha1.CoderSession{
				Spec: v1alpha1.CoderSessionSpec{Auth: v1alpha1.Auth{Mint: &v1alpha1.MintAuth{
					Lifetime: "6h",
				}}},
				Status: v1alpha1.CoderSessionStatus{
					Secret: &v1alpha1.SecretStatus{},
					Token:  &v1alpha1.TokenStatus{IssueTime: after(0), ExpirationTime: after(9 * time.Hour)},
				},
			}
			tt.change(s)
			renewal, end := TokenTimes(s)
			for what, c := range map[string]struct {
				got  time.Time
				want float64
			}{"renewal": {renewal, tt.renewal}, "end": {end, tt.end}} {
				if c.want == 0 && c.got.IsZero() {
					continue
				}
				if got := c.got.Sub(issued).Hours(); got != c.want {
					t.Errorf("the %s is after %v hours, want %v", what, got, c.want)
				}
			}
		})
	}
}

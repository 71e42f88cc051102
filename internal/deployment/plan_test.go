// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

func applyPlan(t *testing.T, o Observation) v1alpha1.CoderDeploymentStatus {
	t.Helper()
	status := *o.Deployment.Status.DeepCopy()
	Decide(o).Apply(&status, o)
	return status
}

func TestApply(t *testing.T) {
	t.Parallel()
	o := newDeployment("prod", withVerification(accepted, time.Minute), withMintingSession(accepted, 0))
	o.Config.CertificateNotAfter, o.Verification.Token.ExpiresAt = noon.Add(time.Hour), noon.Add(2*time.Hour)
	got := applyPlan(t, o)
	got.Conditions = nil
	want := v1alpha1.CoderDeploymentStatus{
		ObservedGeneration: 3, DeploymentID: "id", Version: "v2", AuthFingerprint: settings, User: o.Verification.User,
		LastVerifiedTime:                statusTime(noon.Add(-time.Minute)),
		ClientCertificateExpirationTime: statusTime(noon.Add(time.Hour)),
		TokenExpirationTime:             statusTime(noon.Add(2 * time.Hour)),
		Sessions:                        &v1alpha1.SessionCounts{Total: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("another status (-want +got):\n%s", diff)
	}
}

// Without news nothing is written (B07, B54).
func TestApplyInASteadyState(t *testing.T) {
	t.Parallel()
	first := newDeployment("prod", withVerification(accepted, 0), withMintingSession(accepted, 0))
	first.Deployment.Status = applyPlan(t, first)
	for name, tc := range map[string]struct {
		later   time.Duration
		change  option
		written bool
	}{
		"the same pass again":                  {0, func(*Observation) {}, false},
		"another verification, soon after":     {each/2 - time.Second, withVerification(accepted, 0), false},
		"the next regular verification (B126)": {each, withVerification(accepted, 0), true},
		"a later one":                          {time.Hour, withVerification(accepted, 0), true},
		"settings that change":                 {time.Minute, func(o *Observation) { o.Settling = true }, false},
		"another count":                        {0, func(o *Observation) { o.Sessions.Counts.Ready = 1 }, true},
		"a refusal":                            {each, withVerification(refused, 0), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := first
			o.Now = noon.Add(tc.later)
			o.TokenListing.Time = o.Now
			tc.change(&o)
			if diff := cmp.Diff(first.Deployment.Status, applyPlan(t, o)); (diff != "") != tc.written {
				t.Errorf("written: %t, want %t\n%s", diff != "", tc.written, diff)
			}
		})
	}
}

// The last successful verification stays in status while the server refuses.
func TestApplyARefusal(t *testing.T) {
	t.Parallel()
	o := newDeployment("prod", withVerification(accepted, 0))
	o.Deployment.Status = applyPlan(t, o)
	withVerification(refused, 0)(&o)
	got := applyPlan(t, o)
	if got.DeploymentID != "id" || got.AuthFingerprint != settings || !got.LastVerifiedTime.Time.Equal(noon) {
		t.Errorf("the record is %+v", got)
	}
}

// A change updates lastVerifiedTime, however recent it is.
func TestApplyDatesWhatIsNew(t *testing.T) {
	t.Parallel()
	o := newDeployment("prod", withVerification(accepted, 0))
	o.Deployment.Status = applyPlan(t, o)
	o.Now = noon.Add(time.Minute)
	o.Config.Fingerprint = "hmac-sha256:next"
	withVerification(accepted, 0)(&o)
	o.Verification.Fingerprint = o.Config.Fingerprint
	if got := applyPlan(t, o).LastVerifiedTime; !got.Time.Equal(o.Now) {
		t.Errorf("other settings were verified at %s, and status says %s", o.Now, got)
	}
}

// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B101: an expiring client certificate is reported before it causes an outage.
func TestCertificateCurrent(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		begins, ends time.Duration // from now
		want         string
		wake         time.Duration
	}{
		"for a long time":            {-time.Hour, 90 * day, "True CertificateValid", each},
		"until shortly before":       {-83 * day, 7*day + time.Minute, "True CertificateValid", time.Minute},
		"a week before its end":      {-83 * day, 7 * day, "False CertificateExpiring", each},
		"a minute before its end":    {-83 * day, time.Minute, "False CertificateExpiring", time.Minute},
		"a short-lived one":          {-18 * time.Hour, 6 * time.Hour, "True CertificateValid", each},
		"the last fifth of its time": {-20 * time.Hour, 4 * time.Hour, "False CertificateExpiring", each},
		"it has ended":               {-day, 0, "False CertificateExpired", each},
		"its time has not begun":     {time.Minute, day, "False CertificateNotYetValid", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newDeployment("prod", withVerification(accepted, 0), func(o *Observation) {
				o.Config.CertificateNotBefore, o.Config.CertificateNotAfter = noon.Add(tc.begins), noon.Add(tc.ends)
			})
			p := Decide(o)
			status := v1alpha1.CoderDeploymentStatus{}
			p.Apply(&status, o)
			got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionCertificateCurrent)
			if got == nil || string(got.Status)+" "+got.Reason != tc.want {
				t.Errorf("the condition is %+v, want %s", got, tc.want)
			}
			if wake := p.RequeueAt.Sub(noon); wake != tc.wake {
				t.Errorf("it looks again in %s, want %s", wake, tc.wake)
			}
			if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready.Status != "True" {
				t.Errorf("Ready is %+v", ready)
			}
		})
	}
	without := Decide(newDeployment("prod", withVerification(accepted, 0)))
	for _, c := range without.Conditions {
		if c.Type == v1alpha1.ConditionCertificateCurrent {
			t.Errorf("without a certificate the condition is %+v", c)
		}
	}
}

// A root that cannot be read is a condition, and the deployment stays Ready.
func TestCABundleComplete(t *testing.T) {
	t.Parallel()
	bundle := &v1alpha1.TLSConfig{CABundle: &v1alpha1.CABundleRef{Kind: "ConfigMap", Name: "corp-ca"}}
	const warning = "ConfigMap coder/corp-ca: key \"ca.crt\": certificate 3 cannot be read"
	for name, tc := range map[string]struct {
		settings *v1alpha1.TLSConfig
		warning  string
		want     string
	}{
		"no settings":           {nil, "", ""},
		"no bundle":             {&v1alpha1.TLSConfig{}, "", ""},
		"all can be read":       {bundle, "", "True AllTrusted all certificates of the CA bundle are trusted"},
		"one of them cannot be": {bundle, warning, "False CertificatesSkipped " + warning},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newDeployment("prod", withVerification(accepted, 0))
			o.Deployment.Spec.TLS, o.Config.CABundleWarning = tc.settings, tc.warning
			var status v1alpha1.CoderDeploymentStatus
			meta.SetStatusCondition(&status.Conditions, metav1.Condition{
				Type: v1alpha1.ConditionCABundleComplete, Status: "Unknown", Reason: "Former",
			})
			Decide(o).Apply(&status, o)
			got := ""
			if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionCABundleComplete); c != nil {
				got = string(c.Status) + " " + c.Reason + " " + c.Message
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReady) {
				t.Error("it is not Ready")
			}
		})
	}
}

// B140: transport that protects nothing is said, and changes nothing else.
func TestTransportProtected(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		url  string
		tls  *v1alpha1.TLSConfig
		want string
	}{
		"https":                {"https://coder.example.com", nil, "True Protected"},
		"https, with settings": {"https://coder.example.com", &v1alpha1.TLSConfig{ServerName: "c"}, "True Protected"},
		"http":                 {"http://coder.example.com", nil, "False PlainHTTP"},
		"http in capitals":     {"HTTP://coder.example.com", nil, "False PlainHTTP"},
		"any certificate": {"https://coder.example.com", &v1alpha1.TLSConfig{InsecureSkipVerify: true},
			"False CertificateUnchecked"},
	} {
		o := newDeployment("prod", withVerification(accepted, 0), func(o *Observation) {
			o.Deployment.Spec.URL, o.Deployment.Spec.TLS = tc.url, tc.tls
		})
		p := Decide(o)
		status := v1alpha1.CoderDeploymentStatus{}
		p.Apply(&status, o)
		got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionTransportProtected)
		if got == nil || string(got.Status)+" "+got.Reason != tc.want {
			t.Errorf("%s: the condition is %+v, want %s", name, got, tc.want)
		}
		if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready.Status != "True" {
			t.Errorf("%s: Ready is %+v", name, ready)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// recordAll gives every metric a series for each of the deployments coder/a and coder/b.
func recordAll(m *Metrics) {
	end := time.Unix(1_900_000_000, 0)
	m.AdmissionPoliciesInstalled(true)
	m.BuildInfo("v1.2.3", "go1.26")
	m.CallbackServed("Done")
	m.APIRequestRefused("Forbidden")
	m.SetWebhookCertificateEnd(func() time.Time { return end })
	m.SetSources(Sources{
		Now:   func() time.Time { return end.Add(-time.Hour) },
		Leads: func() bool { return true },
		WaitingPods: func() []WaitingPod {
			return []WaitingPod{{"coder", "b", time.Unix(1.9e9, 0)}, {"coder", "b", time.Unix(1.8e9, 0)}}
		},
		Tokens: func() []Token {
			return []Token{{Namespace: "coder", Deployment: "b", End: end, Renewal: end.Add(-2 * time.Hour)}}
		},
		Controllers: func() []Controller {
			return []Controller{{Name: "sessions", ProgressTime: end, Waiting: 3, Namespaces: 2, LargestShare: 0.75}}
		},
		Streams: func() map[string]int { return map[string]int{"Connected": 4} },
	})
	for _, name := range []string{"a", "b"} {
		m.Verified("coder", name, "Verified")
		m.Requested("coder", name, "me", "ok", 20*time.Millisecond)
		m.Minted("coder", name)
		m.Revoked("coder", name)
		m.RevocationsAbandoned("coder", name, 2)
		m.SecretWritten("create")
		m.SettlingBurst("coder", name, end)
		m.SettingsAccepted("coder", name, end.Add(time.Second))
		m.SilentRetry("coder", name)
		m.Sessions("coder", name, map[string]int{"Active": 3, "Paused": 1})
		m.DeploymentReady("coder", name, true)
		m.CertificateNotAfter("coder", name, end)
		m.OperatorTokenExpires("coder", name, end)
		m.ClockSkew("coder", name, -1500*time.Millisecond)
		m.ServerSlow("coder", name, true)
		m.Pods("coder", name, 3, 1)
		m.PodSecret("coder", name, -time.Second)
		m.Restarted("coder", name)
		m.TokenPublished("coder", name, time.Second)
		m.OrphanedTokens("coder", name, 1)
		m.OrphanRevoked("coder", name)
		m.Retired("coder", name, "Idle")
	}
}

// names of all metrics; recordAll records every one of them.
var names = []string{
	"admission_policies_installed",
	"build_info",
	"client_certificate_expiration_timestamp_seconds",
	"clock_skew_seconds",
	"coder_request_duration_seconds",
	"coder_requests_total",
	"controller_progress_timestamp_seconds",
	"deployment_ready",
	"kubernetes_api_refusals_total",
	"leader",
	"oauth_callbacks_total",
	"operator_token_expiration_timestamp_seconds",
	"orphaned_tokens",
	"orphaned_tokens_revoked_total",
	"pod_secret_delay_seconds",
	"pod_sessions",
	"pod_waiting_timestamp_seconds",
	"pods_refused",
	"published_token_expiration_timestamp_seconds",
	"queue_largest_namespace_ratio",
	"queue_namespaces",
	"queue_waiting_objects",
	"retirements_total",
	"revocations_abandoned_total",
	"rotations_due",
	"rotations_overdue",
	"secret_writes_total",
	"server_slow",
	"sessions",
	"settings_verification_delay_seconds",
	"settling_bursts_total",
	"silent_retries_total",
	"token_publish_duration_seconds",
	"tokens_minted_total",
	"tokens_revoked_total",
	"verifications_total",
	"webhook_certificate_expiration_timestamp_seconds",
	"workload_restarts_total",
	"workspace_streams",
}

func TestNamesAndLabels(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	recordAll(New(registry))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	// B90: nothing else may become a label.
	allowed := map[string]bool{
		"namespace": true, "deployment": true, "result": true, "operation": true, "outcome": true, "action": true,
		"reason": true, "renewed": true, "controller": true, "state": true, "version": true, "goversion": true,
	}
	var got []string
	for _, family := range families {
		name, found := strings.CutPrefix(family.GetName(), "coder_session_operator_")
		if !found {
			t.Errorf("%s has no prefix", family.GetName())
		}
		got = append(got, name)
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if !allowed[label.GetName()] {
					t.Errorf("%s has the label %s", name, label.GetName())
				}
			}
		}
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Error(diff)
	}
}

// descriptions records what is registered.
type descriptions struct {
	prometheus.Registerer
	all []string
}

func (d *descriptions) MustRegister(collectors ...prometheus.Collector) {
	for _, collector := range collectors {
		into := make(chan *prometheus.Desc, 100)
		collector.Describe(into)
		close(into)
		for description := range into {
			d.all = append(d.all, description.String())
		}
	}
}

func TestEveryMetricIsRecorded(t *testing.T) {
	t.Parallel()
	registered := &descriptions{}
	New(registered)
	if len(registered.all) != len(names) {
		t.Errorf("%d metrics are registered, and %d recorded", len(registered.all), len(names))
	}
	for _, description := range registered.all {
		if !slices.ContainsFunc(names, func(name string) bool {
			return strings.Contains(description, `fqName: "coder_session_operator_`+name+`"`)
		}) {
			t.Errorf("recordAll does not record %s", description)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := New(registry)
	recordAll(m)
	m.DeploymentReady("coder", "b", false)
	m.CertificateNotAfter("coder", "b", time.Time{})
	m.OperatorTokenExpires("coder", "b", time.Time{})
	m.Sessions("coder", "a", map[string]int{"Active": 2, "Suspended": 2})
	m.ServerSlow("coder", "b", false)
	m.RevocationsAbandoned("coder", "a", -1) // a counter never goes back

	want := map[string]float64{
		"admission_policies_installed{}":                                                          1,
		"build_info{goversion=go1.26,version=v1.2.3}":                                             1,
		"oauth_callbacks_total{outcome=Done}":                                                     1,
		"kubernetes_api_refusals_total{reason=Forbidden}":                                         1,
		"published_token_expiration_timestamp_seconds{deployment=b,namespace=coder,renewed=true}": 1.9e9,
		"rotations_due{deployment=b,namespace=coder}":                                             1,
		"rotations_overdue{deployment=b,namespace=coder}":                                         1,
		"controller_progress_timestamp_seconds{controller=sessions}":                              1.9e9,
		"queue_waiting_objects{controller=sessions}":                                              3,
		"queue_namespaces{controller=sessions}":                                                   2,
		"queue_largest_namespace_ratio{controller=sessions}":                                      0.75,
		"workspace_streams{state=Connected}":                                                      4,
		"pod_waiting_timestamp_seconds{deployment=b,namespace=coder}":                             1.8e9,
		"leader{}": 1,
		"webhook_certificate_expiration_timestamp_seconds{}":                            1.9e9,
		"client_certificate_expiration_timestamp_seconds{deployment=a,namespace=coder}": 1.9e9,
		"clock_skew_seconds{deployment=a,namespace=coder}":                              -1.5,
		"clock_skew_seconds{deployment=b,namespace=coder}":                              -1.5,
		"coder_request_duration_seconds{operation=me}":                                  2,
		"deployment_ready{deployment=a,namespace=coder}":                                1,
		"deployment_ready{deployment=b,namespace=coder}":                                0,
		"operator_token_expiration_timestamp_seconds{deployment=a,namespace=coder}":     1.9e9,
		"secret_writes_total{action=create}":                                            2,
		"server_slow{deployment=a,namespace=coder}":                                     1,
		"sessions{deployment=a,namespace=coder,reason=Active}":                          2,
		"sessions{deployment=a,namespace=coder,reason=Suspended}":                       2,
		"sessions{deployment=b,namespace=coder,reason=Active}":                          3,
		"sessions{deployment=b,namespace=coder,reason=Paused}":                          1,
	}
	for _, name := range []string{"a", "b"} {
		of := "deployment=" + name + ",namespace=coder"
		want["orphaned_tokens{"+of+"}"] = 1
		want["orphaned_tokens_revoked_total{"+of+"}"] = 1
		want["retirements_total{"+of+",reason=Idle}"] = 1
		want["token_publish_duration_seconds{"+of+"}"] = 1
		want["settings_verification_delay_seconds{"+of+"}"] = 1
		want["workload_restarts_total{"+of+"}"] = 1
		want["coder_requests_total{"+of+",operation=me,outcome=ok}"] = 1
		want["revocations_abandoned_total{"+of+"}"] = 2
		want["pod_secret_delay_seconds{"+of+"}"] = 1
		want["pod_sessions{"+of+"}"] = 3
		want["pods_refused{"+of+"}"] = 1
		want["settling_bursts_total{"+of+"}"] = 1
		want["silent_retries_total{"+of+"}"] = 1
		want["tokens_minted_total{"+of+"}"] = 1
		want["tokens_revoked_total{"+of+"}"] = 1
		want["verifications_total{"+of+",result=Verified}"] = 1
	}
	if diff := cmp.Diff(want, gatherSeries(t, registry)); diff != "" {
		t.Error(diff)
	}
}

// Prometheus sees the first increase of a counter only if its series was there before.
func TestCountersOfADeploymentBeginAtZero(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	New(registry).DeploymentReady("coder", "a", true)
	series := gatherSeries(t, registry)
	for _, name := range []string{"tokens_minted_total", "tokens_revoked_total", "revocations_abandoned_total",
		"orphaned_tokens_revoked_total", "workload_restarts_total", "settling_bursts_total", "silent_retries_total"} {
		if value, found := series[name+"{deployment=a,namespace=coder}"]; !found || value != 0 {
			t.Errorf("%s is %v (found: %t)", name, value, found)
		}
	}
}

// gatherSeries returns every series with its value; for a histogram that is its count.
func gatherSeries(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			name := strings.TrimPrefix(family.GetName(), "coder_session_operator_")
			series[name+"{"+strings.Join(labels, ",")+"}"] = metric.GetGauge().GetValue() +
				metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return series
}

func TestForgetDeletesAllSeriesOfADeployment(t *testing.T) { // B20
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := New(registry)
	recordAll(m)
	m.Forget("coder", "a")
	m.Forget("another", "b")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != len(names) {
		t.Errorf("%d metrics, want %d: the other deployment lost some", len(families), len(names))
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "deployment" && label.GetValue() == "a" {
					t.Errorf("%s is left", family.GetName())
				}
			}
		}
	}
	if len(m.reasons) != 1 {
		t.Errorf("%d deployments are remembered", len(m.reasons))
	}
}

func TestMetricsAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	m := New(prometheus.NewPedanticRegistry())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				recordAll(m)
				m.Forget("coder", "a")
			}
		})
	}
	all.Wait()
}

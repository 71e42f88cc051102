// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "coder_session_operator"

// requestBuckets range from the response time of a local server to the longest timeout, in seconds.
var requestBuckets = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// delayBuckets range from two quick requests to an hour, in seconds.
var delayBuckets = []float64{0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// Metrics has a method for each metric. Create it with [New]. It is safe for concurrent use.
type Metrics struct {
	verifications, requests               *prometheus.CounterVec
	minted, revoked, abandoned, restarted *prometheus.CounterVec
	secretWrites                          *prometheus.CounterVec
	settlingBursts, silentRetries         *prometheus.CounterVec
	requestDuration                       *prometheus.HistogramVec
	policiesInstalled                     prometheus.Gauge
	sessions, ready                       *prometheus.GaugeVec
	certificateNotAfter, tokenExpires     *prometheus.GaugeVec
	clockSkew, serverSlow                 *prometheus.GaugeVec
	podSessions, podsRefused              *prometheus.GaugeVec
	podSecretDelay                        *prometheus.HistogramVec
	orphans, buildInfo                    *prometheus.GaugeVec
	orphansRevoked, retirements           *prometheus.CounterVec
	callbacks, refusals                   *prometheus.CounterVec
	publishDuration, verificationDelay    *prometheus.HistogramVec

	mu      sync.Mutex
	sources Sources
	// changes is when the settings of a deployment last began to change, until they are verified.
	changes map[deployment]time.Time
	// reasons that have a series in sessions, by deployment.
	reasons map[deployment]map[string]struct{}
}

// deployment is the namespace and name of a CoderDeployment.
type deployment struct{ namespace, name string }

// New creates all metrics and registers them. It panics if one is already registered.
func New(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		verifications: newCounterVec("verifications_total", "Verifications of a deployment's settings, by result.", "result"),
		requests: newCounterVec("coder_requests_total",
			"Requests to Coder servers, by operation and outcome.", "operation", "outcome"),
		minted: newCounterVec("tokens_minted_total", "Tokens minted."),
		restarted: newCounterVec("workload_restarts_total",
			"Workloads that were rolled because their credential had changed."),
		revoked: newCounterVec("tokens_revoked_total", "Tokens revoked."),
		abandoned: newCounterVec("revocations_abandoned_total",
			"Tokens that could not be revoked in time and may still be valid."),
		secretWrites: newOwnCounterVec("secret_writes_total", "Writes of generated Secrets, by action.", "action"),
		settlingBursts: newCounterVec("settling_bursts_total",
			"Bursts of changes to a deployment's settings that were waited out."),
		silentRetries: newCounterVec("silent_retries_total", "Refused requests that were repeated with newer settings."),
		requestDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "coder_request_duration_seconds",
			Help:    "Time until the answer of a Coder server was read, by operation.",
			Buckets: requestBuckets,
		}, []string{"operation"}),
		policiesInstalled: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "admission_policies_installed",
			Help: "Whether the admission policies are installed and in force: 1 or 0.",
		}),
		sessions: newGaugeVec("sessions", "Sessions by the reason of their Ready condition.", "reason"),
		ready:    newGaugeVec("deployment_ready", "Whether the deployment is Ready: 1 or 0."),
		certificateNotAfter: newGaugeVec("client_certificate_expiration_timestamp_seconds",
			"End of the client certificate, as a Unix time."),
		tokenExpires: newGaugeVec("operator_token_expiration_timestamp_seconds",
			"End of the operator's own token, as a Unix time."),
		podSecretDelay: newHistogramVec("pod_secret_delay_seconds",
			"Time from the creation of a pod, in whole seconds, to the Secret with its own token (perPod)."),
		podSessions: newGaugeVec("pod_sessions", "Pods that have a session of their own (perPod)."),
		podsRefused: newGaugeVec("pods_refused",
			"Pods that wait for a session of their own, because of perPod.maxPods or a pause."),
		clockSkew: newGaugeVec("clock_skew_seconds", "How far the server's clock is ahead of the operator's."),
		serverSlow: newGaugeVec("server_slow",
			"1 while the deployment's server does not answer, so that it has a small share of the workers; otherwise absent."),
		orphans: newGaugeVec("orphaned_tokens",
			"Tokens that no session claims and that are not revoked yet, as of the last list of tokens."),
		orphansRevoked: newCounterVec("orphaned_tokens_revoked_total",
			"Tokens that no session claimed and that were revoked."),
		retirements: newCounterVec("retirements_total", "Sessions that were retired, by reason.", "reason"),
		callbacks:   newOwnCounterVec("oauth_callbacks_total", "Requests to the OAuth callback, by outcome.", "outcome"),
		refusals: newOwnCounterVec("kubernetes_api_refusals_total",
			"Requests that the Kubernetes API server refused, by its reason.", "reason"),
		publishDuration: newHistogramVec("token_publish_duration_seconds",
			"Time from asking the server for a new token until it was published in its Secret."),
		verificationDelay: newHistogramVec("settings_verification_delay_seconds",
			"Time from the first of a burst of changes to a deployment's settings until the server had accepted them."),
		buildInfo: newOwnGaugeVec("build_info", "Always 1; the labels say what was built.", "version", "goversion"),
		reasons:   map[deployment]map[string]struct{}{},
		changes:   map[deployment]time.Time{},
	}
	registerer.MustRegister(m.requestDuration, m.secretWrites, m.policiesInstalled, m.callbacks, m.refusals, m.buildInfo,
		stateCollector{m})
	for _, vector := range m.perDeployment() {
		registerer.MustRegister(vector)
	}
	return m
}

// vector is the common interface of counters and gauges.
type vector interface {
	prometheus.Collector
	DeletePartialMatch(labels prometheus.Labels) int
}

// perDeployment returns the metrics with the labels namespace and deployment.
func (m *Metrics) perDeployment() []vector {
	return []vector{
		m.verifications, m.requests, m.minted, m.revoked, m.abandoned, m.restarted, m.settlingBursts, m.silentRetries,
		m.sessions, m.ready, m.certificateNotAfter, m.tokenExpires, m.clockSkew, m.serverSlow,
		m.podSessions, m.podsRefused, m.podSecretDelay,
		m.orphans, m.orphansRevoked, m.retirements, m.publishDuration, m.verificationDelay,
	}
}

func newCounterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help},
		append([]string{"namespace", "deployment"}, labels...))
}

func newOwnCounterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func newGaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return newOwnGaugeVec(name, help, append([]string{"namespace", "deployment"}, labels...)...)
}

func newOwnGaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func newHistogramVec(name, help string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: delayBuckets,
	}, []string{"namespace", "deployment"})
}

// Forget deletes all series of a deployment that was deleted.
func (m *Metrics) Forget(namespace, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.reasons, deployment{namespace, name})
	delete(m.changes, deployment{namespace, name})
	for _, vector := range m.perDeployment() {
		vector.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "deployment": name})
	}
}

// Sessions sets how many sessions of a deployment there are, by the reason of their Ready
// condition. The series of reasons that are not in counts are deleted.
func (m *Metrics) Sessions(namespace, name string, counts map[string]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := deployment{namespace, name}
	for reason := range m.reasons[key] {
		if _, still := counts[reason]; !still {
			m.sessions.DeleteLabelValues(namespace, name, reason)
		}
	}
	reasons := make(map[string]struct{}, len(counts))
	for reason, count := range counts {
		reasons[reason] = struct{}{}
		m.sessions.WithLabelValues(namespace, name, reason).Set(float64(count))
	}
	m.reasons[key] = reasons
}

// setTime sets a Unix time in seconds, or deletes the series if t is zero.
func setTime(vector *prometheus.GaugeVec, namespace, name string, t time.Time) {
	if t.IsZero() {
		vector.DeleteLabelValues(namespace, name)
		return
	}
	vector.WithLabelValues(namespace, name).Set(float64(t.Unix()))
}

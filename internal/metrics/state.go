// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sources are read whenever metrics are collected, so that what they say is never old. They are called
// concurrently. The metrics of one that is nil are absent.
type Sources struct {
	// Now is the operator's time.
	Now func() time.Time
	// Leads reports whether this replica leads.
	Leads func() bool
	// Tokens returns the published tokens of all sessions. Nil: they are not known yet.
	Tokens func() []Token
	// WaitingPods returns the pods that wait for the Secret with their own token.
	WaitingPods func() []WaitingPod
	// Controllers returns how the controllers get on.
	Controllers func() []Controller
	// Streams counts the streams of workspaces by their state.
	Streams func() map[string]int
	// WebhookCertificateEnd returns the end of the webhook's certificate; zero: there is none yet.
	WebhookCertificateEnd func() time.Time
}

// Token is a published token of a session. It has no name: it becomes part of a number only.
type Token struct {
	// Namespace and Deployment are those of the CoderDeployment.
	Namespace, Deployment string
	// End is when the token ends. It is not zero.
	End time.Time
	// Renewal is when the operator replaces the token. Zero: the operator does not.
	Renewal time.Time
}

// isDue reports whether the time to replace the token has come.
func (t Token) isDue(now time.Time) bool { return !t.Renewal.IsZero() && !now.Before(t.Renewal) }

// isOverdue reports whether half of the time between the renewal and the end has passed.
func (t Token) isOverdue(now time.Time) bool {
	return t.isDue(now) && !now.Before(t.Renewal.Add(t.End.Sub(t.Renewal)/2))
}

// WaitingPod is a pod that waits for the Secret with its own token. It has no name: it becomes part of a
// number only.
type WaitingPod struct {
	// Namespace and Deployment are those of the CoderDeployment.
	Namespace, Deployment string
	// Created is when the pod was created.
	Created time.Time
}

// Controller is how a controller gets on.
type Controller struct {
	// Name is that of a kind of object, such as sessions.
	Name string
	// ProgressTime is when a pass last ended, or nothing waited.
	ProgressTime time.Time
	// Waiting is how many objects wait for a worker.
	Waiting int
	// Namespaces is how many namespaces have passes that run or objects that wait.
	Namespaces int
	// LargestShare is the share of these passes and objects that belong to one namespace: that with the
	// most. It ranges from 0 to 1.
	LargestShare float64
}

// SetSources replaces all sources but WebhookCertificateEnd.
func (m *Metrics) SetSources(s Sources) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.WebhookCertificateEnd = m.sources.WebhookCertificateEnd
	m.sources = s
}

// SetWebhookCertificateEnd sets the source of the end of the webhook's certificate.
func (m *Metrics) SetWebhookCertificateEnd(end func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources.WebhookCertificateEnd = end
}

// stateGauges are the gauges that are computed from the sources.
type stateGauges struct {
	tokenEnd, due, overdue, podWaits    *prometheus.GaugeVec
	progress, waiting, tenants, largest *prometheus.GaugeVec
	streams                             *prometheus.GaugeVec
	leads, webhookCertificate           *prometheus.GaugeVec
}

func newStateGauges() stateGauges {
	return stateGauges{
		tokenEnd: newGaugeVec("published_token_expiration_timestamp_seconds",
			"Earliest end of a published token of a session that is not paused, as a Unix time, by whether the operator "+
				"renews it.", "renewed"),
		due: newGaugeVec("rotations_due", "Sessions whose token is to be replaced now."),
		overdue: newGaugeVec("rotations_overdue",
			"Sessions whose token was not replaced in the first half of the time between its renewal and its end."),
		podWaits: newGaugeVec("pod_waiting_timestamp_seconds",
			"When the oldest pod was created that waits for the Secret with its own token (perPod), as a Unix time. "+
				"Absent: none waits."),
		progress: newOwnGaugeVec("controller_progress_timestamp_seconds",
			"When a controller last finished an object, or had nothing to do, as a Unix time.", "controller"),
		waiting: newOwnGaugeVec("queue_waiting_objects", "Objects that wait for a worker of a controller.", "controller"),
		tenants: newOwnGaugeVec("queue_namespaces",
			"Namespaces with objects that wait for a controller or are worked on.", "controller"),
		largest: newOwnGaugeVec("queue_largest_namespace_ratio",
			"Share of the objects that wait for a controller or are worked on that belong to the namespace with the most.",
			"controller"),
		streams: newOwnGaugeVec("workspace_streams", "Streams of workspaces, by state.", "state"),
		leads:   newOwnGaugeVec("leader", "Whether the replica leads: 1 or 0."),
		webhookCertificate: newOwnGaugeVec("webhook_certificate_expiration_timestamp_seconds",
			"End of the webhook's certificate, as a Unix time."),
	}
}

func (g stateGauges) all() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{
		g.tokenEnd, g.due, g.overdue, g.podWaits, g.progress, g.waiting, g.tenants, g.largest, g.streams, g.leads,
		g.webhookCertificate,
	}
}

// stateCollector computes its gauges for each collection.
type stateCollector struct{ metrics *Metrics }

// Describe implements prometheus.Collector.
func (stateCollector) Describe(into chan<- *prometheus.Desc) {
	for _, gauge := range newStateGauges().all() {
		gauge.Describe(into)
	}
}

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(into chan<- prometheus.Metric) {
	c.metrics.mu.Lock()
	sources := c.metrics.sources
	c.metrics.mu.Unlock()
	gauges := newStateGauges()
	gauges.setTokens(sources)
	gauges.setWaitingPods(sources)
	gauges.setControllers(sources)
	if sources.Streams != nil {
		for state, count := range sources.Streams() {
			gauges.streams.WithLabelValues(state).Set(float64(count))
		}
	}
	if sources.WebhookCertificateEnd != nil {
		if end := sources.WebhookCertificateEnd(); !end.IsZero() {
			gauges.webhookCertificate.WithLabelValues().Set(float64(end.Unix()))
		}
	}
	for _, gauge := range gauges.all() {
		gauge.Collect(into)
	}
}

func (g stateGauges) setTokens(s Sources) {
	if s.Tokens == nil || s.Now == nil {
		return
	}
	now := s.Now()
	earliest := map[[3]string]time.Time{}
	for _, token := range s.Tokens() {
		renewed := "true"
		if token.Renewal.IsZero() {
			renewed = "false"
		}
		key := [3]string{token.Namespace, token.Deployment, renewed}
		if end, known := earliest[key]; !known || token.End.Before(end) {
			earliest[key] = token.End
		}
		g.due.WithLabelValues(key[0], key[1]).Add(asNumber(token.isDue(now)))
		g.overdue.WithLabelValues(key[0], key[1]).Add(asNumber(token.isOverdue(now)))
	}
	for key, end := range earliest {
		g.tokenEnd.WithLabelValues(key[:]...).Set(float64(end.Unix()))
	}
}

func (g stateGauges) setWaitingPods(s Sources) {
	if s.WaitingPods == nil {
		return
	}
	oldest := map[[2]string]time.Time{}
	for _, pod := range s.WaitingPods() {
		key := [2]string{pod.Namespace, pod.Deployment}
		if created, known := oldest[key]; !known || pod.Created.Before(created) {
			oldest[key] = pod.Created
		}
	}
	for key, created := range oldest {
		g.podWaits.WithLabelValues(key[:]...).Set(float64(created.Unix()))
	}
}

func (g stateGauges) setControllers(s Sources) {
	if s.Leads != nil {
		g.leads.WithLabelValues().Set(asNumber(s.Leads()))
	}
	if s.Controllers == nil {
		return
	}
	for _, c := range s.Controllers() {
		g.progress.WithLabelValues(c.Name).Set(float64(c.ProgressTime.Unix()))
		g.waiting.WithLabelValues(c.Name).Set(float64(c.Waiting))
		g.tenants.WithLabelValues(c.Name).Set(float64(c.Namespaces))
		g.largest.WithLabelValues(c.Name).Set(c.LargestShare)
	}
}

func asNumber(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

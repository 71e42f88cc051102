// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Verified counts a verification of a deployment's settings. The result is a condition's reason,
// such as Verified or Unauthorized.
func (m *Metrics) Verified(namespace, name, result string) {
	m.verifications.WithLabelValues(namespace, name, result).Inc()
}

// Requested counts a request to a deployment's server. The operation is one of the client's, the
// outcome "ok" or the kind of its error.
func (m *Metrics) Requested(namespace, name, operation, outcome string, took time.Duration) {
	m.requests.WithLabelValues(namespace, name, operation, outcome).Inc()
	m.requestDuration.WithLabelValues(operation).Observe(took.Seconds())
}

// Minted counts a token that was minted.
func (m *Metrics) Minted(namespace, name string) { m.minted.WithLabelValues(namespace, name).Inc() }

// Revoked counts a token that was revoked.
func (m *Metrics) Revoked(namespace, name string) { m.revoked.WithLabelValues(namespace, name).Inc() }

// Restarted counts a workload that was restarted.
func (m *Metrics) Restarted(namespace, name string) {
	m.restarted.WithLabelValues(namespace, name).Inc()
}

// RevocationsAbandoned counts tokens that could not be revoked in time.
func (m *Metrics) RevocationsAbandoned(namespace, name string, tokens int) {
	m.abandoned.WithLabelValues(namespace, name).Add(float64(max(tokens, 0)))
}

// SecretWritten counts a write of a generated Secret. The action is a verb such as create, update
// or delete.
func (m *Metrics) SecretWritten(action string) { m.secretWrites.WithLabelValues(action).Inc() }

// SettlingBurst counts a burst of changes after which the settings were read once. It began at the given
// time.
func (m *Metrics) SettlingBurst(namespace, name string, start time.Time) {
	m.settlingBursts.WithLabelValues(namespace, name).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes[deployment{namespace, name}] = start
}

// SettingsAccepted records that the server has accepted the settings as they are now, which has taken as
// long as since the last burst of changes began. Without a burst since the last call it does nothing.
func (m *Metrics) SettingsAccepted(namespace, name string, now time.Time) {
	key := deployment{namespace, name}
	m.mu.Lock()
	defer m.mu.Unlock()
	if start, changed := m.changes[key]; changed {
		delete(m.changes, key)
		m.verificationDelay.WithLabelValues(namespace, name).Observe(max(now.Sub(start), 0).Seconds())
	}
}

// SilentRetry counts a rejected request that was repeated with newer settings.
func (m *Metrics) SilentRetry(namespace, name string) {
	m.silentRetries.WithLabelValues(namespace, name).Inc()
}

// DeploymentReady sets whether a deployment is Ready. Its counters without further labels begin at 0
// then: Prometheus sees an increase only of a series that was there before.
func (m *Metrics) DeploymentReady(namespace, name string, ready bool) {
	for _, counter := range []*prometheus.CounterVec{
		m.minted, m.revoked, m.abandoned, m.restarted, m.settlingBursts, m.silentRetries, m.orphansRevoked,
	} {
		counter.WithLabelValues(namespace, name)
	}
	m.ready.WithLabelValues(namespace, name).Set(asNumber(ready))
}

// AdmissionPoliciesInstalled sets whether the admission policies are in force.
func (m *Metrics) AdmissionPoliciesInstalled(installed bool) {
	m.policiesInstalled.Set(asNumber(installed))
}

// CertificateNotAfter sets the expiration time of a deployment's client certificate. Zero: it has
// none.
func (m *Metrics) CertificateNotAfter(namespace, name string, end time.Time) {
	setTime(m.certificateNotAfter, namespace, name, end)
}

// OperatorTokenExpires sets the expiration time of the operator's own token. Zero: there is none,
// or the time is unknown.
func (m *Metrics) OperatorTokenExpires(namespace, name string, end time.Time) {
	setTime(m.tokenExpires, namespace, name, end)
}

// ServerSlow sets whether a deployment's server is known not to answer. There is no series while it is
// not.
func (m *Metrics) ServerSlow(namespace, name string, slow bool) {
	if !slow {
		m.serverSlow.DeleteLabelValues(namespace, name)
		return
	}
	m.serverSlow.WithLabelValues(namespace, name).Set(1)
}

// Pods sets how many pods of a deployment's sessions with perPod have a session of their own, and how many
// are refused one.
func (m *Metrics) Pods(namespace, name string, live, refused int) {
	m.podSessions.WithLabelValues(namespace, name).Set(float64(live))
	m.podsRefused.WithLabelValues(namespace, name).Set(float64(refused))
}

// PodSecret records how long it took from the creation of a pod to the Secret with its own token.
func (m *Metrics) PodSecret(namespace, name string, took time.Duration) {
	m.podSecretDelay.WithLabelValues(namespace, name).Observe(max(took, 0).Seconds())
}

// ClockSkew sets how far the server's clock is ahead of the operator's.
func (m *Metrics) ClockSkew(namespace, name string, ahead time.Duration) {
	m.clockSkew.WithLabelValues(namespace, name).Set(ahead.Seconds())
}

// TokenPublished records how long a new token took from the request for it until it was in its Secret.
func (m *Metrics) TokenPublished(namespace, name string, took time.Duration) {
	m.publishDuration.WithLabelValues(namespace, name).Observe(max(took, 0).Seconds())
}

// OrphanedTokens sets how many tokens of a deployment's server no session claims, and are to be revoked.
func (m *Metrics) OrphanedTokens(namespace, name string, count int) {
	m.orphans.WithLabelValues(namespace, name).Set(float64(count))
}

// OrphanRevoked counts a token that no session claimed and that was revoked.
func (m *Metrics) OrphanRevoked(namespace, name string) {
	m.orphansRevoked.WithLabelValues(namespace, name).Inc()
}

// Retired counts a session that was retired. The reason is one of status.retirement.
func (m *Metrics) Retired(namespace, name, reason string) {
	m.retirements.WithLabelValues(namespace, name, reason).Inc()
}

// CallbackServed counts a request to the OAuth callback. The outcome is one of the callback's pages.
func (m *Metrics) CallbackServed(outcome string) { m.callbacks.WithLabelValues(outcome).Inc() }

// APIRequestRefused counts a request that the Kubernetes API server refused. The reason is one of the
// known ones, or Other, because admission webhooks choose their own.
func (m *Metrics) APIRequestRefused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

// BuildInfo says what was built: the version of the operator and that of Go.
func (m *Metrics) BuildInfo(version, goVersion string) {
	m.buildInfo.WithLabelValues(version, goVersion).Set(1)
}

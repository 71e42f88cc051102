// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// formatDuration returns a duration for people: in hours where HumanDuration has up to 179 minutes.
func formatDuration(d time.Duration) string {
	if d < time.Hour || d >= 3*time.Hour {
		return duration.HumanDuration(d)
	}
	hours, minutes := d/time.Hour, d%time.Hour/time.Minute
	if minutes == 0 {
		return fmt.Sprintf("%dh", hours)
	}
	return fmt.Sprintf("%dh%dm", hours, minutes)
}

// formatEnd says when something expires or expired.
func formatEnd(end, now time.Time) string {
	if end.Before(now) {
		return "ended " + formatDuration(now.Sub(end)) + " ago"
	}
	return "ends in " + formatDuration(end.Sub(now))
}

// formatAge says how long ago something was. A time in the future, by clock skew, counts as now.
func formatAge(t, now time.Time) string { return formatDuration(max(0, now.Sub(t))) + " ago" }

// formatSince says for how long the health has been as it is. Empty: it is healthy, or the time is
// not known.
func formatSince(f health, now time.Time) string {
	if f.since == nil || f.since.IsZero() || f.level == healthy {
		return ""
	}
	return "for " + formatDuration(max(0, now.Sub(f.since.Time)))
}

func commaSuffix(text string) string {
	if text == "" {
		return ""
	}
	return ", " + text
}

// joinNonEmpty joins the parts that are not empty.
func joinNonEmpty(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), separator)
}

// formatCount returns a number with its noun.
func formatCount(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// serverLine describes a deployment's server: URL, reachability, last verification and version.
func serverLine(d *v1alpha1.CoderDeployment, now time.Time) string {
	seen := ""
	if t := d.Status.LastVerifiedTime; t != nil {
		seen = "verified " + formatAge(t.Time, now)
		if d.Status.User != nil {
			seen += fmt.Sprintf(" as user %q", d.Status.User.Username)
		}
	}
	reach := reachability(d)
	if reach != reachable && seen != "" {
		seen = "last " + seen
	}
	return sanitize(joinNonEmpty(", ", d.Spec.URL, reach, seen, d.Status.Version))
}

const reachable = "reachable"

// reachability is the result of the last request to the server.
func reachability(d *v1alpha1.CoderDeployment) string {
	verified := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionVerified)
	switch {
	case verified == nil:
		return "not asked yet"
	case verified.Status == metav1.ConditionTrue:
		return reachable
	case verified.Status == metav1.ConditionFalse:
		return "not accepted"
	case verified.Reason == v1alpha1.ReasonUnreachable:
		return "not reachable"
	}
	return "not asked" // the settings are incomplete, or the server asked for a pause
}

// expirationLines says when the operator's client certificate and token expire.
func expirationLines(d *v1alpha1.CoderDeployment, now time.Time) []string {
	var parts []string
	if end := d.Status.ClientCertificateExpirationTime; end != nil {
		parts = append(parts, "client certificate "+formatEnd(end.Time, now))
	}
	if end := d.Status.TokenExpirationTime; end != nil && !isTokenRefused(d) {
		parts = append(parts, "operator's token "+formatEnd(end.Time, now))
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{strings.Join(parts, ", ")}
}

// isTokenRefused reports whether the server refuses the operator's token: the end in the status is that of
// the token that it accepted last.
func isTokenRefused(d *v1alpha1.CoderDeployment) bool {
	ready := deploymentReadyCondition(d)
	return ready != nil && ready.Reason == v1alpha1.ReasonUnauthorized
}

// sessionColumns are the names of the columns of a detailed tree.
var sessionColumns = []string{"SESSION", "STATE", "USER", "TOKEN", "USED", "SECRET"}

// sessionCells returns the columns of a detailed tree after the state: user, expiration and renewal of
// the token, its last use, the Secret.
func sessionCells(s *v1alpha1.CoderSession, now time.Time) []string {
	user, ends, renewed, used := "", "", "", ""
	if s.Status.User != nil {
		user = s.Status.User.Username
		if s.Status.User.ServiceAccount {
			user += " (service account)"
		}
	} else if s.Spec.Auth.Mint != nil {
		user = s.Spec.Auth.Mint.User
	}
	if token := s.Status.Token; token != nil && token.ExpirationTime != nil {
		ends = formatEnd(token.ExpirationTime.Time, now)
	}
	if next := s.Status.NextRefreshTime; next != nil && next.After(now) {
		renewed = "renewed in " + formatDuration(next.Sub(now))
	}
	if token := s.Status.Token; token != nil && token.LastUsedTime != nil {
		used = formatAge(token.LastUsedTime.Time, now)
	}
	token, secret := joinNonEmpty(", ", ends, renewed), s.SecretName()
	if s.Spec.PerPod != nil {
		token, secret = podCounts(s), ""
	}
	cells := []string{user, token, used, secret}
	for i := range cells {
		cells[i] = cmp.Or(cells[i], "-")
	}
	return cells
}

// summary counts the deployments and sessions in each state.
func summary(all []deploymentNode) string {
	if len(all) == 0 {
		return "No deployments and no sessions."
	}
	var deployments, sessions, pods []string
	for i := range all {
		deployments = append(deployments, all[i].health.state)
		for j := range all[i].sessions {
			sessions = append(sessions, all[i].sessions[j].health.state)
			for k := range all[i].sessions[j].pods {
				pods = append(pods, all[i].sessions[j].pods[k].health.state)
			}
		}
	}
	text := counts(deployments, "deployment") + "; " + counts(sessions, "session")
	if len(pods) > 0 {
		text += "; " + counts(pods, "pod")
	}
	return sanitize(text)
}

// counts returns the total, and the number in each state, most frequent first.
func counts(states []string, noun string) string {
	counts := map[string]int{}
	for _, state := range states {
		counts[state]++
	}
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(-cmp.Compare(counts[a], counts[b]), strings.Compare(a, b))
	})
	for i, kind := range kinds {
		kinds[i] = fmt.Sprintf("%d %s", counts[kind], kind)
	}
	return joinNonEmpty(": ", formatCount(len(states), noun), strings.Join(kinds, ", "))
}

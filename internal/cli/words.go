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

// until says when something ends or ended.
func until(end, now time.Time) string {
	if end.Before(now) {
		return "ended " + duration.HumanDuration(now.Sub(end)) + " ago"
	}
	return "ends in " + duration.HumanDuration(end.Sub(now))
}

// ago says how long something is past. What a clock that is ahead has written is now.
func ago(t, now time.Time) string { return duration.HumanDuration(max(0, now.Sub(t))) + " ago" }

// since says for how long something is as it is. Empty: nobody knows.
func since(f finding, now time.Time) string {
	if f.since == nil || f.since.IsZero() || f.health == well {
		return ""
	}
	return "for " + duration.HumanDuration(max(0, now.Sub(f.since.Time)))
}

func suffix(text string) string {
	if text == "" {
		return ""
	}
	return ", " + text
}

// join joins what is not empty.
func join(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), separator)
}

// count is a number of something.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// serverLine says where a deployment's server is, and what is known of it.
func serverLine(d *v1alpha1.CoderDeployment, now time.Time) string {
	seen := ""
	if t := d.Status.LastVerifiedTime; t != nil {
		seen = "verified " + ago(t.Time, now)
		if d.Status.User != nil {
			seen += fmt.Sprintf(" as user %q", d.Status.User.Username)
		}
	}
	reach := reached(d)
	if reach != reachable && seen != "" {
		seen = "last " + seen
	}
	return harmless(join(", ", d.Spec.URL, reach, seen, d.Status.Version))
}

const reachable = "reachable"

// reached says whether the server was reached when it was asked last.
func reached(d *v1alpha1.CoderDeployment) string {
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
	return "not asked" // the settings are incomplete, or the server wants a pause
}

// endsLine says when what identifies the operator ends.
func endsLine(d *v1alpha1.CoderDeployment, now time.Time) []string {
	var parts []string
	if end := d.Status.ClientCertificateExpirationTime; end != nil {
		parts = append(parts, "client certificate "+until(end.Time, now))
	}
	if end := d.Status.TokenExpirationTime; end != nil {
		parts = append(parts, "operator's token "+until(end.Time, now))
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{strings.Join(parts, ", ")}
}

// sessionCells are what there is to know of a session: user, end and renewal of its token, its last use, its Secret.
func sessionCells(s *v1alpha1.CoderSession, now time.Time) []string {
	user, ends, renewed, used := "", "", "", ""
	if s.Status.User != nil {
		user = s.Status.User.Username
	} else if s.Spec.Auth.Mint != nil {
		user = s.Spec.Auth.Mint.User
	}
	if token := s.Status.Token; token != nil && token.ExpirationTime != nil {
		ends = "token " + until(token.ExpirationTime.Time, now)
	}
	if next := s.Status.NextRefreshTime; next != nil && next.After(now) {
		renewed = "renewed in " + duration.HumanDuration(next.Sub(now))
	}
	if token := s.Status.Token; token != nil && token.LastUsedTime != nil {
		used = "used " + ago(token.LastUsedTime.Time, now)
	}
	cells := []string{user, join(", ", ends, renewed), used, "Secret " + s.SecretName()}
	for i := range cells {
		cells[i] = cmp.Or(cells[i], "-")
	}
	return cells
}

// summary sums up.
func summary(all []deploymentNode) string {
	if len(all) == 0 {
		return "No deployments and no sessions."
	}
	var deployments, sessions []string
	for i := range all {
		deployments = append(deployments, all[i].found.state)
		for j := range all[i].sessions {
			sessions = append(sessions, all[i].sessions[j].found.state)
		}
	}
	return harmless(counts(deployments, "deployment") + "; " + counts(sessions, "session"))
}

// counts says how many there are, and how many of them in each state.
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
	return join(": ", count(len(states), noun), strings.Join(kinds, ", "))
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// listObjects lists deployments and sessions.
func (r *checkup) listObjects(ctx context.Context) {
	s, snapshot, err := r.cluster.fetch(ctx, r.namespace())
	if err != nil {
		r.notChecked("Deployments and sessions", "%v", err)
		return
	}
	for _, note := range s.notes {
		r.notChecked("Deployments and sessions", "%s", strings.TrimPrefix(note, "Not looked at: "))
	}
	r.snapshot = snapshot
}

// checkDeployments checks each deployment that the sessions use, or that is in the namespace.
func (r *checkup) checkDeployments(context.Context) {
	for _, key := range slices.SortedFunc(maps.Keys(r.snapshot.deployments), compareKeys) {
		d := r.snapshot.deployments[key]
		sessions := r.sessionsOf(key)
		if namespace := r.namespace(); namespace != "" && key.Namespace != namespace && !anyIn(sessions, namespace) {
			continue
		}
		topic := "Deployment " + key.String()
		before := len(r.findings)
		r.checkDeployment(topic, d)
		r.checkVersion(topic, d, sessions)
		if len(r.findings) == before {
			r.ok(topic, "Ready, Coder %s", d.Status.Version)
		}
	}
}

// sessionsOf are the sessions that use a deployment, by name.
func (r *checkup) sessionsOf(deployment types.NamespacedName) []*v1alpha1.CoderSession {
	var found []*v1alpha1.CoderSession
	for _, key := range slices.SortedFunc(maps.Keys(r.snapshot.sessions), compareKeys) {
		if session := r.snapshot.sessions[key]; session.DeploymentKey() == deployment {
			found = append(found, session)
		}
	}
	return found
}

func anyIn(sessions []*v1alpha1.CoderSession, namespace string) bool {
	return slices.ContainsFunc(sessions, func(s *v1alpha1.CoderSession) bool { return s.Namespace == namespace })
}

// checkDeployment checks scope, health, the operator's token, and the operator's clock.
func (r *checkup) checkDeployment(topic string, d *v1alpha1.CoderDeployment) {
	if r.operator != nil {
		if what := r.operator.scopeProblem(d); what != "" {
			r.problem(topic, what, "add the labels, or change watchLabelSelector")
			return
		}
	}
	found := assessDeployment(d)
	end := d.Status.TokenExpirationTime
	switch {
	case end != nil && end.Time.Before(r.env.Clock.Now()) && found.level < unhealthy:
		r.problem(topic, "the operator's token "+formatEnd(end.Time, r.env.Clock.Now()),
			deploymentRemedy(d, v1alpha1.ReasonTokenExpired))
	case found.level > inactive:
		r.addHealth(topic, found)
	}
	seen := d.Status.LastVerifiedTime
	if seen == nil || r.apiServerTime.IsZero() {
		return
	}
	if ahead := seen.Sub(r.apiServerTime); ahead > maxClockSkew {
		r.warn(topic, fmt.Sprintf("the clock of the operator's node is %s ahead of the API server's", formatDuration(ahead)),
			"have both take their time from NTP: tokens are replaced too early")
	}
}

// addHealth adds a finding about an object that is not healthy.
func (r *checkup) addHealth(topic string, found health) {
	message := found.state
	if found.message != "" {
		message += ": " + found.message
	}
	r.findings = append(r.findings, finding{found.level, topic, message, found.remedy})
}

// Versions of Coder from which on it does what the operator relies on (docs/reference/compatibility.md).
var (
	knownVersion       = version.MustParseGeneric("2.24")
	mintScopesVersion  = version.MustParseGeneric("2.25")
	oauthVersion       = version.MustParseGeneric("2.30")
	oauthScopesVersion = version.MustParseGeneric("2.38")
)

// checkVersion says what follows from the version of the server for the sessions.
func (r *checkup) checkVersion(topic string, d *v1alpha1.CoderDeployment, sessions []*v1alpha1.CoderSession) {
	server, err := version.ParseGeneric(d.Status.Version)
	if err != nil {
		return // the server has not said it yet, or it is a build without one
	}
	oauth := countSessions(sessions, func(a v1alpha1.Auth) bool { return a.OAuth != nil })
	oauthScopes := countSessions(sessions, func(a v1alpha1.Auth) bool { return a.OAuth != nil && len(a.OAuth.Scopes) > 0 })
	mintScopes := countSessions(sessions, func(a v1alpha1.Auth) bool { return a.Mint != nil && len(a.Mint.Scopes) > 0 })
	if server.LessThan(knownVersion) {
		r.warn(topic, fmt.Sprintf("Coder %s is older than %s, the oldest that the operator was tried with", d.Status.Version,
			knownVersion), "upgrade the Coder server")
	}
	if server.LessThan(oauthVersion) && oauth > 0 {
		r.problem(topic, fmt.Sprintf("Coder %s cannot revoke grants, so that auth.oauth of %s is not supported",
			d.Status.Version, formatCount(oauth, "session")), "upgrade the Coder server to 2.30 or later, or use auth.mint")
	}
	if server.LessThan(oauthScopesVersion) && oauthScopes > 0 {
		r.warn(topic, fmt.Sprintf("Coder %s ignores OAuth scopes: the tokens of %s may do all that their users may do",
			d.Status.Version, formatCount(oauthScopes, "session")),
			"upgrade the Coder server to 2.38 or later, or use auth.mint")
	}
	if server.LessThan(mintScopesVersion) && mintScopes > 0 {
		r.warn(topic, fmt.Sprintf("Coder %s ignores scopes: the tokens of %s may do all that their users may do",
			d.Status.Version, formatCount(mintScopes, "session")), "upgrade the Coder server")
	}
}

// countSessions counts the sessions with such an auth method.
func countSessions(sessions []*v1alpha1.CoderSession, matches func(v1alpha1.Auth) bool) (n int) {
	for _, session := range sessions {
		if matches(session.Spec.Auth) {
			n++
		}
	}
	return n
}

// maxNamedSessions is how many sessions with a problem are named; status names all of them.
const maxNamedSessions = 10

// checkSessions names the sessions that need attention for a reason of their own: not because their
// deployment does.
func (r *checkup) checkSessions(context.Context) {
	const topic = "Sessions"
	good, named, more := 0, 0, 0
	for _, key := range slices.SortedFunc(maps.Keys(r.snapshot.sessions), compareKeys) {
		session := r.snapshot.sessions[key]
		if namespace := r.namespace(); namespace != "" && key.Namespace != namespace {
			continue
		}
		found := assessSession(session, r.snapshot.deployments[session.DeploymentKey()])
		switch {
		case found.level <= inactive, r.waitsForUnhealthy(session):
			good++
		case named == maxNamedSessions:
			more++
		default:
			named++
			r.addHealth("Session "+key.String(), found)
		}
	}
	if more > 0 {
		r.problem(topic, fmt.Sprintf("attention is needed by %s", formatCount(more, "more session")),
			"kubectl coder status -A names them")
	}
	if good > 0 {
		r.ok(topic, "no attention is needed by %s", formatCount(good, "session"))
	}
}

// waitsForUnhealthy reports whether a session waits for a deployment that is among the findings
// already.
func (r *checkup) waitsForUnhealthy(s *v1alpha1.CoderSession) bool {
	d, ready := r.snapshot.deployments[s.DeploymentKey()], readyCondition(s)
	return d != nil && ready != nil && ready.Reason == v1alpha1.ReasonAwaitingDeployment &&
		assessDeployment(d).level > inactive
}

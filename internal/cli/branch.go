// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// deploymentNode is a deployment with the sessions that use it.
type deploymentNode struct {
	key types.NamespacedName
	// deployment is nil where it does not exist, or was not looked at.
	deployment *v1alpha1.CoderDeployment
	found      finding
	sessions   []sessionNode
	// unlisted is how many more sessions use it, of namespaces that were not looked at.
	unlisted int
}

// sessionNode is a session.
type sessionNode struct {
	session *v1alpha1.CoderSession
	found   finding
}

// deploymentNodes are the deployments that a scope is about with their sessions: those of the own namespace, and those that its
// sessions refer to. What is wrong comes first.
func deploymentNodes(s *scope, seen *clusterSnapshot, now time.Time) []deploymentNode {
	uses := map[types.NamespacedName][]sessionNode{}
	about := map[types.NamespacedName]bool{}
	for _, session := range seen.sessions {
		key := session.DeploymentKey()
		uses[key] = append(uses[key], sessionNode{session, judgeSession(session, seen.deployments[key])})
		if s.own == "" || session.Namespace == s.own {
			about[key] = true
		}
	}
	for key := range seen.deployments {
		if s.own == "" || key.Namespace == s.own {
			about[key] = true
		}
	}
	var all []deploymentNode
	for key := range maps.Keys(about) {
		b := deploymentNode{key: key, deployment: seen.deployments[key], found: judgeBranch(key, s, seen, now), sessions: uses[key]}
		if b.deployment != nil && b.deployment.Status.Sessions != nil && !s.coversSessions("") {
			b.unlisted = max(0, int(b.deployment.Status.Sessions.Total)-len(b.sessions))
		}
		slices.SortFunc(b.sessions, compareLeaves)
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b deploymentNode) int {
		return cmp.Or(-cmp.Compare(a.worst(), b.worst()), -cmp.Compare(a.found.health, b.found.health), compareKeys(a.key, b.key))
	})
	return all
}

func judgeBranch(key types.NamespacedName, s *scope, seen *clusterSnapshot, now time.Time) finding {
	deployment := seen.deployments[key]
	switch {
	case deployment != nil:
		return judgeDeployment(deployment, now)
	case !s.coversDeployments(key.Namespace):
		return finding{state: "not looked at"}
	}
	return finding{health: wrong, state: "Missing", message: "this deployment does not exist, and sessions refer to it",
		remedy: "create it, or delete these sessions and create them anew with another deploymentRef"}
}

// worst is the health of what is worst of a branch.
func (b *deploymentNode) worst() health {
	worst := b.found.health
	for i := range b.sessions {
		worst = max(worst, b.sessions[i].found.health)
	}
	return worst
}

// compareLeaves orders what is wrong first, and what has one cause side by side.
func compareLeaves(a, b sessionNode) int {
	return cmp.Or(
		-cmp.Compare(a.found.health, b.found.health),
		strings.Compare(a.found.state, b.found.state),
		strings.Compare(a.found.message, b.found.message),
		compareKeys(keyOf(a), keyOf(b)),
	)
}

func keyOf(l sessionNode) types.NamespacedName {
	return types.NamespacedName{Namespace: l.session.Namespace, Name: l.session.Name}
}

// onlyNamed keeps the deployments of a name, and of the others the sessions of that name in the own namespace.
func onlyNamed(all []deploymentNode, name, own string) []deploymentNode {
	var kept []deploymentNode
	for _, b := range all {
		if b.key.Name != name {
			b.unlisted = 0
			b.sessions = slices.DeleteFunc(slices.Clone(b.sessions), func(l sessionNode) bool {
				return l.session.Name != name || own != "" && l.session.Namespace != own
			})
			if len(b.sessions) == 0 {
				continue
			}
		}
		kept = append(kept, b)
	}
	return kept
}

// worstOf is the health of what is worst.
func worstOf(all []deploymentNode) health {
	worst := well
	for i := range all {
		worst = max(worst, all[i].worst())
	}
	return worst
}

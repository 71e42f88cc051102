// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// deploymentNode is a deployment with the sessions that use it.
type deploymentNode struct {
	key types.NamespacedName
	// deployment is nil if it does not exist, or if its namespace could not be listed.
	deployment *v1alpha1.CoderDeployment
	health     health
	sessions   []sessionNode
	// hiddenSessions is the number of sessions that use it and are in namespaces that could not be
	// listed.
	hiddenSessions int
}

// sessionNode is a session and its health.
type sessionNode struct {
	session *v1alpha1.CoderSession
	health  health
	// pods are the sessions of its pods, if it has perPod, and folded is true for each of these.
	pods   []sessionNode
	folded bool
}

// buildDeploymentNodes returns the deployments of a scope with their sessions: the deployments of
// the scope's own namespace, and those that its sessions refer to. The least healthy come first.
func buildDeploymentNodes(s *scope, snapshot *clusterSnapshot) []deploymentNode {
	uses := map[types.NamespacedName][]sessionNode{}
	about := map[types.NamespacedName]bool{}
	for _, session := range snapshot.sessions {
		key := session.DeploymentKey()
		node := sessionNode{session: session}
		if podOwner(session) != "" {
			node.health = assessPodSession(session, snapshot.deployments[key])
		} else {
			node.health = assessSession(session, snapshot.deployments[key])
		}
		uses[key] = append(uses[key], node)
		if s.own == "" || session.Namespace == s.own {
			about[key] = true
		}
	}
	for key := range snapshot.deployments {
		if s.own == "" || key.Namespace == s.own {
			about[key] = true
		}
	}
	var all []deploymentNode
	for key := range maps.Keys(about) {
		b := deploymentNode{key: key, deployment: snapshot.deployments[key],
			health: assessDeploymentNode(key, s, snapshot), sessions: uses[key]}
		if b.deployment != nil && b.deployment.Status.Sessions != nil && !s.coversSessions("") {
			b.hiddenSessions = max(0, int(b.deployment.Status.Sessions.Total)-len(b.sessions))
		}
		b.sessions = foldPods(b.sessions)
		slices.SortFunc(b.sessions, compareSessionNodes)
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b deploymentNode) int {
		return cmp.Or(-cmp.Compare(a.worstLevel(), b.worstLevel()), -cmp.Compare(a.health.level, b.health.level),
			compareKeys(a.key, b.key))
	})
	return all
}

func assessDeploymentNode(key types.NamespacedName, s *scope, snapshot *clusterSnapshot) health {
	deployment := snapshot.deployments[key]
	switch {
	case deployment != nil:
		return assessDeployment(deployment)
	case !s.coversDeployments(key.Namespace):
		return health{state: "not looked at"}
	}
	return health{level: unhealthy, state: "Missing",
		message: "this deployment does not exist, and sessions refer to it",
		remedy:  "create it, or delete these sessions and recreate them with another deploymentRef"}
}

// worstLevel is the worst health level of the deployment and its sessions.
func (b *deploymentNode) worstLevel() healthLevel {
	worst := b.health.level
	for i := range b.sessions {
		worst = max(worst, b.sessions[i].worstLevel())
	}
	return worst
}

// compareSessionNodes orders the least healthy sessions first, and groups those with the same
// cause.
func compareSessionNodes(a, b sessionNode) int {
	return cmp.Or(
		-cmp.Compare(a.worstLevel(), b.worstLevel()),
		-cmp.Compare(a.health.level, b.health.level),
		strings.Compare(a.health.state, b.health.state),
		strings.Compare(a.health.message, b.health.message),
		compareKeys(sessionNodeKey(a), sessionNodeKey(b)),
	)
}

func sessionNodeKey(l sessionNode) types.NamespacedName {
	return types.NamespacedName{Namespace: l.session.Namespace, Name: l.session.Name}
}

// filterByName keeps the deployments with the name. Of other deployments it keeps the sessions that
// have the name and are in the own namespace.
func filterByName(all []deploymentNode, name, own string) []deploymentNode {
	var kept []deploymentNode
	for _, b := range all {
		if b.key.Name != name {
			b.hiddenSessions = 0
			b.sessions = filterSessionsByName(b.sessions, name, own)
			if len(b.sessions) == 0 {
				continue
			}
		}
		kept = append(kept, b)
	}
	return kept
}

// filterSessionsByName keeps the sessions of the own namespace that have the name, or of which a pod or its
// session has it: of these, that pod.
func filterSessionsByName(all []sessionNode, name, own string) []sessionNode {
	var kept []sessionNode
	for _, node := range all {
		if own != "" && node.session.Namespace != own {
			continue
		}
		if node.session.Name != name {
			node.pods = slices.DeleteFunc(slices.Clone(node.pods), func(pod sessionNode) bool {
				return pod.session.Name != name && podOwner(pod.session) != name
			})
			if len(node.pods) == 0 {
				continue
			}
		}
		kept = append(kept, node)
	}
	return kept
}

// worstLevelOf is the worst health level of all deployments and sessions.
func worstLevelOf(all []deploymentNode) healthLevel {
	worst := healthy
	for i := range all {
		worst = max(worst, all[i].worstLevel())
	}
	return worst
}

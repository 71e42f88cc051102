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

// branch is a deployment with the sessions that use it.
type branch struct {
	key types.NamespacedName
	// deployment is nil where it does not exist, or was not looked at.
	deployment *v1alpha1.CoderDeployment
	found      finding
	sessions   []leaf
	// unlisted is how many more sessions use it, of namespaces that were not looked at.
	unlisted int
}

// leaf is a session.
type leaf struct {
	session *v1alpha1.CoderSession
	found   finding
}

// branches are the deployments that a scope is about with their sessions: those of the own namespace, and those that its
// sessions refer to. What is wrong comes first.
func branches(s *scope, seen *sight, now time.Time) []branch {
	uses := map[types.NamespacedName][]leaf{}
	about := map[types.NamespacedName]bool{}
	for _, session := range seen.sessions {
		key := session.DeploymentKey()
		uses[key] = append(uses[key], leaf{session, judgeSession(session, seen.deployments[key])})
		if s.own == "" || session.Namespace == s.own {
			about[key] = true
		}
	}
	for key := range seen.deployments {
		if s.own == "" || key.Namespace == s.own {
			about[key] = true
		}
	}
	var all []branch
	for key := range maps.Keys(about) {
		b := branch{key: key, deployment: seen.deployments[key], found: judgeBranch(key, s, seen, now), sessions: uses[key]}
		if b.deployment != nil && b.deployment.Status.Sessions != nil && !s.coversSessions("") {
			b.unlisted = max(0, int(b.deployment.Status.Sessions.Total)-len(b.sessions))
		}
		slices.SortFunc(b.sessions, compareLeaves)
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b branch) int {
		return cmp.Or(-cmp.Compare(a.worst(), b.worst()), -cmp.Compare(a.found.health, b.found.health), compareKeys(a.key, b.key))
	})
	return all
}

func judgeBranch(key types.NamespacedName, s *scope, seen *sight, now time.Time) finding {
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
func (b *branch) worst() health {
	worst := b.found.health
	for i := range b.sessions {
		worst = max(worst, b.sessions[i].found.health)
	}
	return worst
}

// compareLeaves orders what is wrong first, and what has one cause side by side.
func compareLeaves(a, b leaf) int {
	return cmp.Or(
		-cmp.Compare(a.found.health, b.found.health),
		strings.Compare(a.found.state, b.found.state),
		strings.Compare(a.found.message, b.found.message),
		compareKeys(keyOf(a), keyOf(b)),
	)
}

func keyOf(l leaf) types.NamespacedName {
	return types.NamespacedName{Namespace: l.session.Namespace, Name: l.session.Name}
}

// onlyNamed keeps the deployments of a name, and of the others the sessions of that name in the own namespace.
func onlyNamed(all []branch, name, own string) []branch {
	var kept []branch
	for _, b := range all {
		if b.key.Name != name {
			b.unlisted = 0
			b.sessions = slices.DeleteFunc(slices.Clone(b.sessions), func(l leaf) bool {
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
func worstOf(all []branch) health {
	worst := well
	for i := range all {
		worst = max(worst, all[i].worst())
	}
	return worst
}

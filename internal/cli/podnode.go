// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// podOwner returns the name of the pod that a session belongs to. Empty: it belongs to none.
func podOwner(s *v1alpha1.CoderSession) string {
	owner := metav1.GetControllerOfNoCopy(s)
	if owner == nil || owner.Kind != "Pod" || owner.APIVersion != "v1" {
		return ""
	}
	return owner.Name
}

// parentKey returns the session with perPod that the session of a pod is of.
func parentKey(s *v1alpha1.CoderSession) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[v1alpha1.LabelParent]}
}

// assessPodSession returns the health of the session of a pod. That of a pod that has just begun or ended
// needs no attention.
func assessPodSession(s *v1alpha1.CoderSession, deployment *v1alpha1.CoderDeployment) health {
	switch {
	case !s.DeletionTimestamp.IsZero():
		return health{level: inactive, state: "Ended", since: s.DeletionTimestamp}
	case readyCondition(s) == nil:
		return health{level: inactive, state: "Starting"}
	}
	return assessSession(s, deployment)
}

// foldPods takes the sessions of pods out of the sessions of a deployment and puts them under that with
// perPod which they are of. One whose parent is not there stays.
func foldPods(all []sessionNode) []sessionNode {
	parents := map[types.NamespacedName]int{}
	var kept, pods []sessionNode
	for _, node := range all {
		if podOwner(node.session) != "" {
			pods = append(pods, node)
			continue
		}
		parents[sessionNodeKey(node)] = len(kept)
		kept = append(kept, node)
	}
	for _, node := range pods {
		at, found := parents[parentKey(node.session)]
		if !found {
			kept = append(kept, node)
			continue
		}
		node.folded = true
		kept[at].pods = append(kept[at].pods, node)
	}
	for i := range kept {
		slices.SortFunc(kept[i].pods, compareSessionNodes)
	}
	return kept
}

// worstLevel is the worst health level of a session and its pods.
func (l *sessionNode) worstLevel() healthLevel {
	worst := l.health.level
	for i := range l.pods {
		worst = max(worst, l.pods[i].health.level)
	}
	return worst
}

// title names a session, or below another one the pod that it is of.
func (l *sessionNode) title() string {
	if l.folded {
		return "  pod " + podOwner(l.session)
	}
	return sessionNodeKey(*l).String()
}

// podCounts says how many pods of a session with perPod have a token. Empty: the session has no perPod.
func podCounts(s *v1alpha1.CoderSession) string {
	pods := s.Status.Pods
	if s.Spec.PerPod == nil || pods == nil {
		return ""
	}
	count := func(n int32, what string) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("%d %s", n, what)
	}
	live := cmp.Or(count(pods.Live, "live"), "0 live")
	return "pods: " + joinNonEmpty(", ", live, count(pods.Ended, "ended"), count(pods.Refused, "refused"))
}

// podRows returns the rows of the pods of a session: of all in a detailed tree, else of those that need
// attention.
func (t *tree) podRows(nodes []sessionNode) []row {
	var shown []sessionNode
	for _, node := range nodes {
		if t.detailed || node.health.level > inactive {
			shown = append(shown, node)
		}
	}
	return t.rowsByState(shown)
}

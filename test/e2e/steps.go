// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

const (
	// kubeletSync is how often the kubelet of the own cluster looks at each pod's volumes.
	kubeletSync = 5 * time.Second
	// overlap of rotations: long enough for what is published to reach the pods.
	overlap = 20 * time.Second
	// rollout bounds what a workload needs to start, or to be replaced.
	rollout = 3 * time.Minute
)

func (w *e2eRun) listSteps() []walk.Step {
	return slices.Concat(w.listUses(), w.listFailures(), w.listPods(), w.listEnds())
}

// listUses are the steps in which nothing goes wrong.
func (w *e2eRun) listUses() []walk.Step {
	return []walk.Step{
		{Title: "The quick start, word for word",
			Expect: "its commands are taken from docs/getting-started.md and run by a shell: install, two " +
				"manifests, a pod that works, uninstall.",
			Run: w.quickStart},
		{Title: "The previous chart is installed, and the samples are applied",
			Expect: "chart 0.1.0 with its own values; prod is verified over mTLS, the sessions become Ready.",
			Run:    w.installPrevious},
		{Title: "The chart is upgraded",
			Expect: "CRDs and roles are upgraded, too, pod injection and admission policies are there, and no " +
				"token is replaced. People have the cluster's roles admin and edit from here on.",
			Run: w.upgradeChart},
		{Title: "From a manifest to an accepted call",
			Expect: "a session and an injected pod are applied together; the pod waits for its Secret, " +
				"starts, and its call is accepted.",
			Run: w.measureStart},
		{Title: "Two pods call every 200 ms",
			Expect: "one is injected, one mounts the Secret by hand. Whatever happens from here on, none of " +
				"their calls is refused.",
			Run: w.startCallers},
		{Title: "A rotation reaches running pods",
			Expect: "another token is asked for: both pods go on with the new one, without a restart; then " +
				"the old one is revoked.",
			Run: w.rotateToken},
		{Title: "The client certificate is rewritten",
			Expect: "in twenty writes with half pairs in between: one verification, no session leaves Ready, " +
				"the pods get the new certificate.",
			Run: w.rewriteCertificate},
	}
}

// listFailures are the steps in which something does.
func (w *e2eRun) listFailures() []walk.Step {
	return []walk.Step{
		{Title: "Suspension and recovery",
			Expect: "a certificate of an unknown authority suspends session edge, which lives by it; a right " +
				"one brings it back, without a change of the session.",
			Run: w.suspendSession},
		{Title: "Workloads with the token in their environment are rolled",
			Expect: "spec.restart names Deployment runner: after a rotation it is rolled, and the old token " +
				"is revoked only then.",
			Run: w.restartRunner},
		{Title: "The leader is killed in the middle of a rotation",
			Expect: "it is killed before the answer to its mint arrives. The other replica takes over and " +
				"ends with exactly one live token.",
			Run: w.killLeader},
		{Title: "A replica is cut off from the API server",
			Expect: "the leader loses its lease and stops; the other one takes over and rotates. Connected " +
				"again, both are Ready, with one live token.",
			Run: w.partitionLeader},
		{Title: "Whole namespaces are deleted",
			Expect: "each with a deployment, its Secrets and three sessions. The first goes at once, with its tokens; of " +
				"the second the leader is killed meanwhile: it is gone, or its tokens are named, within 30 s.",
			Run: w.loseNamespaces},
	}
}

// listPods are the steps about a token for each pod.
func (w *e2eRun) listPods() []walk.Step {
	return []walk.Step{
		{Title: "Thirty pods have a token each, and the leader is killed meanwhile",
			Expect: "each pod of a Job calls with a token of its own, none is refused, and five seconds after the " +
				"last has ended no token of a pod is left.",
			Run: w.servePods},
		{Title: "A pod is evicted",
			Expect: "its token is revoked within five seconds after it has gone.",
			Run:    w.evictPod},
		{Title: "A CronJob runs for two minutes",
			Expect: "each of its pods has a token of its own, and none is left afterwards.",
			Run:    w.runCronJob},
	}
}

// listEnds are the steps that look back, and take everything away.
func (w *e2eRun) listEnds() []walk.Step {
	return []walk.Step{
		{Title: "No credential in any log, event or object",
			Expect: "everything that was printed since the start is searched for every value that any Secret " +
				"has had.",
			Run: w.searchEverything},
		{Title: "Uninstall",
			Expect: "sessions and deployments are deleted, then the release: all tokens are revoked, no " +
				"finalizer keeps anything, the CRDs stay.",
			Run: w.uninstallChart},
		{Title: "One namespace, with Roles only",
			Expect: "watchNamespaces, and nothing cluster-wide: a session there becomes Ready, its pod is " +
				"accepted, and the operator may read nothing else.",
			Run: w.rolesOnly},
		{Title: "Nothing is left",
			Expect: "the namespaces can be deleted, and everything that was printed is searched once more.",
			Run:    w.deleteNamespaces},
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// podJobSize is how many pods the Job in pods.yaml has, quiet how soon after the last of them has ended no
// token of a pod is left.
const (
	podJobSize = 30
	quiet      = 5 * time.Second
	// backlog is the same for the Job, after another replica took over: the operator's limit of requests
	// to a server lets it catch up with 5 a second.
	backlog = 30 * time.Second
)

// servePods runs a Job of many pods, each of which calls with a token of its own, and kills the leader in
// the middle.
func (w *e2eRun) servePods(ctx context.Context) error {
	if err := w.applyManifest(ctx, w.editor, "pods.yaml", podsManifest); err != nil {
		return err
	}
	if _, err := walk.AwaitFor(ctx, rollout, "some pods of Job pods have succeeded",
		w.hasSucceeded("pods", 5)); err != nil {
		return err
	}
	leader, err := w.findLeader(ctx)
	if err != nil {
		return err
	}
	if err := w.killOperator(ctx, leader.pod); err != nil {
		return err
	}
	if _, err := walk.AwaitFor(ctx, rollout, "all pods of Job pods have succeeded",
		w.hasSucceeded("pods", podJobSize)); err != nil {
		return err
	}
	if err := w.tokensDiffer(ctx); err != nil {
		return err
	}
	if err := w.rolledOut(ctx); err != nil {
		return err
	}
	return w.noPodTokens(ctx, backlog)
}

// tokensDiffer returns an error unless all calls of the Job's pods were accepted, and each has called with
// another token.
func (w *e2eRun) tokensDiffer(ctx context.Context) error {
	pods, err := w.podsOf(ctx, namespace, "app", "pods")
	if err != nil {
		return err
	}
	users := map[string]string{}
	for i := range pods {
		last, err := w.callsNow(ctx, pods[i].Name)
		if err != nil {
			return err
		}
		if other := users[last.Token]; other != "" || last.Accepted == 0 || last.Refused+last.Failed > 0 {
			return &walk.UnexpectedError{Expected: "pod " + pods[i].Name + " has accepted calls with a token of its own",
				Seen: fmt.Sprintf("%+v, token also of pod %q", last, other)}
		}
		users[last.Token] = pods[i].Name
	}
	w.term.Seen("%d pods have called with %d tokens", len(pods), len(users))
	return nil
}

// evictPod evicts a pod that has a token of its own.
func (w *e2eRun) evictPod(ctx context.Context) error {
	file, err := w.folder.Write("evicted.yaml", []byte(podOf(quickManifest, "evicted", "pods")))
	if err != nil {
		return err
	}
	if _, err := w.editor.Run(ctx, "apply", "-f", file); err != nil {
		return err
	}
	if _, err := walk.Await(ctx, "a call of pod evicted is accepted", w.hasAcceptedCall("evicted")); err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "evicted"}}
	if err := w.client.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{}); err != nil {
		return err
	}
	return w.noPodTokens(ctx, quiet)
}

// podOf returns the pod of a manifest that has a session before it, for another session.
func podOf(manifest, name, session string) string {
	_, pod, _ := strings.Cut(manifest, "\n---\n")
	pod = strings.ReplaceAll(pod, "credentials.coder.com/session: NAME", "credentials.coder.com/session: "+session)
	return strings.ReplaceAll(pod, "NAME", name)
}

// runCronJob lets a CronJob run twice, a minute apart.
func (w *e2eRun) runCronJob(ctx context.Context) error {
	_, job, _ := strings.Cut(podsManifest, "\n---\n")
	_, template, _ := strings.Cut(job, "\n  template:\n")
	text := "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: sweep, namespace: coder}\nspec:\n" +
		"  schedule: \"* * * * *\"\n  jobTemplate:\n    spec:\n      template:\n        " +
		strings.ReplaceAll(strings.TrimSpace(strings.ReplaceAll(template, "app: pods", "app: sweep")), "\n", "\n    ")
	if err := w.applyManifest(ctx, w.editor, "sweep.yaml", text); err != nil {
		return err
	}
	if _, err := walk.AwaitFor(ctx, 2*time.Minute+rollout, "two pods of CronJob sweep have succeeded",
		w.hasSucceeded("sweep", 2)); err != nil {
		return err
	}
	if _, err := w.editor.Run(ctx, "-n", namespace, "delete", "cronjob", "sweep"); err != nil {
		return err
	}
	return w.noPodTokens(ctx, quiet)
}

// hasSucceeded waits until so many pods with a label have succeeded. One that has failed is an error.
func (w *e2eRun) hasSucceeded(app string, want int) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		pods, err := w.podsOf(ctx, namespace, "app", app)
		done := 0
		for i := range pods {
			switch pods[i].Status.Phase {
			case corev1.PodSucceeded:
				done++
			case corev1.PodFailed:
				return "", false, &walk.UnexpectedError{Expected: "no pod fails", Seen: "pod " + pods[i].Name + " failed"}
			case corev1.PodPending, corev1.PodRunning, corev1.PodUnknown:
			}
		}
		return fmt.Sprintf("%d of %d pods have succeeded", done, len(pods)), done >= want, err
	}
}

// noPodTokens waits until the Coder server has no token that is neither of a session of people nor of a pod
// that runs.
func (w *e2eRun) noPodTokens(ctx context.Context, limit time.Duration) error {
	_, err := walk.AwaitFor(ctx, limit, "no token of a pod is left", func(ctx context.Context) (string, bool, error) {
		keys, err := w.coder.Minted(ctx)
		if err != nil {
			return "", false, err
		}
		var sessions v1alpha1.CoderSessionList
		if err := w.client.List(ctx, &sessions); err != nil {
			return "", false, err
		}
		claimed := map[string]bool{}
		for i := range sessions.Items {
			if s := &sessions.Items[i]; s.Labels[v1alpha1.LabelParent] == "" {
				claimed[string(s.UID)[:8]] = true
			}
		}
		left := 0
		for _, key := range keys {
			if parts := strings.Split(key.Name, "-"); len(parts) == 4 && !claimed[parts[2]] {
				left++
			}
		}
		return fmt.Sprintf("%d tokens of pods", left), left == 0, nil
	})
	return err
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// starts is how often the way from a manifest to an accepted call is measured.
const starts = 5

func (w *e2eRun) measureStart(ctx context.Context) error {
	var times []time.Duration
	for i := range starts {
		name := fmt.Sprintf("quick-%d", i)
		file, err := w.folder.Write("quick.yaml", []byte(strings.ReplaceAll(quickManifest, "NAME", name)))
		if err != nil {
			return err
		}
		started := time.Now()
		if _, err := w.editor.Run(ctx, "apply", "-f", file); err != nil {
			return err
		}
		if _, err := walk.Await(ctx, "a call of pod "+name+" is accepted", w.hasAcceptedCall(name)); err != nil {
			return err
		}
		times = append(times, time.Since(started))
		if _, err := w.editor.Run(ctx, "delete", "-f", file); err != nil {
			return err
		}
	}
	slices.Sort(times)
	w.recordFigure("from kubectl apply of a session and its pod to an accepted call: median %s, of %d between %s and %s",
		walk.Brief(times[starts/2]), starts, walk.Brief(times[0]), walk.Brief(times[starts-1]))
	return nil
}

func (w *e2eRun) startCallers(ctx context.Context) error {
	if err := w.applyManifest(ctx, w.editor, "injected.yaml", injectedManifest); err != nil {
		return err
	}
	if err := w.applyManifest(ctx, w.editor, "by-hand.yaml", byHandManifest); err != nil {
		return err
	}
	for _, pod := range callers {
		if _, err := walk.Await(ctx, "calls of pod "+pod+" are accepted", w.hasAcceptedCall(pod)); err != nil {
			return err
		}
	}
	err := w.kubectl.Show(ctx, "-n", namespace, "get", "pod", "injected", "-o",
		`jsonpath={range .spec.containers[*]}{range .env[*]}{.name}={.value}{"\n"}{end}`+
			`{range .volumeMounts[*]}{.mountPath}{"\n"}{end}{end}`)
	if err != nil {
		return err
	}
	return w.allAccepted(ctx, callers...)
}

// rotateToken asks for another token of session ci and waits until it reaches the pods.
func (w *e2eRun) rotateToken(ctx context.Context) error {
	old, err := w.publishedTokenID(ctx, "ci")
	if err != nil {
		return err
	}
	started := time.Now()
	if err := w.editor.Show(ctx, "coder", "renew", "ci", "-n", namespace); err != nil {
		return err
	}
	next, err := w.awaitReplacement(ctx, "ci", old)
	if err != nil {
		return err
	}
	w.term.Seen("token %s is published after %s", next, walk.Brief(time.Since(started)))
	for _, pod := range callers {
		if _, err := walk.Await(ctx, "pod "+pod+" uses token "+next, w.usesToken(pod, next)); err != nil {
			return err
		}
	}
	w.recordFigure("a published token is used by running pods after %s (the kubelet looks every %s)",
		walk.Brief(time.Since(started)), kubeletSync)
	if _, err := walk.Await(ctx, "the old token is revoked after the overlap", w.oneToken("ci")); err != nil {
		return err
	}
	w.term.Seen("the old token is revoked; it was valid for %s beside the new one", overlap)
	return w.allAccepted(ctx, callers...)
}

// askForLifetime changes what a session asks for, so that its token is replaced.
func (w *e2eRun) askForLifetime(ctx context.Context, name, lifetime string) error {
	return w.editor.Show(ctx, "patch", "cses", name, "-n", namespace, "--type=merge", "-p",
		fmt.Sprintf(`{"spec":{"auth":{"mint":{"lifetime":%q}}}}`, lifetime))
}

// awaitReplacement waits until another token is published, and returns its id.
func (w *e2eRun) awaitReplacement(ctx context.Context, name, old string) (string, error) {
	var next string
	_, err := walk.Await(ctx, "Secret "+name+" holds another token", func(ctx context.Context) (string, bool, error) {
		var err error
		next, err = w.publishedTokenID(ctx, name)
		return "token " + next, next != "" && next != old, err
	})
	return next, err
}

// restartRunner restarts the pods of Deployment runner.
func (w *e2eRun) restartRunner(ctx context.Context) error {
	if err := w.startRunner(ctx); err != nil {
		return err
	}
	old, err := w.publishedTokenID(ctx, "runner")
	if err != nil {
		return err
	}
	if err := w.askForLifetime(ctx, "runner", "20h"); err != nil {
		return err
	}
	next, err := w.awaitReplacement(ctx, "runner", old)
	if err != nil {
		return err
	}
	if _, err := walk.AwaitFor(ctx, rollout, "all pods of runner call with the new token, and then the old one is revoked",
		w.isRolledOut(old, next)); err != nil {
		return err
	}
	pods, err := w.podsOf(ctx, namespace, "app", "runner")
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if err := w.allAccepted(ctx, pod.Name); err != nil {
			return err
		}
	}
	w.term.Seen("Deployment runner is rolled; the old token was revoked after that, and no call was refused")
	return w.kubectl.Show(ctx, "-n", namespace, "get", "events",
		"--field-selector=involvedObject.name=runner,involvedObject.kind=CoderSession")
}

func (w *e2eRun) startRunner(ctx context.Context) error {
	if err := w.applyManifest(ctx, w.editor, "runner.yaml", runnerManifest); err != nil {
		return err
	}
	if err := w.awaitSessions(ctx, v1alpha1.ReasonActive, "runner"); err != nil {
		return err
	}
	_, err := w.kubectl.Run(ctx, "-n", namespace, "rollout", "status", "deployment/runner", "--timeout="+rollout.String())
	return err
}

// isRolledOut waits until all pods of runner call with the next token and the old one is revoked.
// It is an error if the old one is revoked earlier.
func (w *e2eRun) isRolledOut(old, next string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		live, err := w.liveTokens(ctx, "runner")
		if err != nil {
			return "", false, err
		}
		behind, err := w.runnersWithout(ctx, next)
		if err != nil {
			return "", false, err
		}
		if len(behind) > 0 && !slices.Contains(live, old) {
			return "", false, &walk.UnexpectedError{
				Expected: "the old token is valid until all pods are replaced", Seen: "revoked before " + strings.Join(behind,
					", "),
			}
		}
		return fmt.Sprintf("pods with another token: %d; tokens alive: %d", len(behind), len(live)), len(behind) == 0 &&
			len(live) == 1, nil
	}
}

// runnersWithout returns the pods of runner, without those that are being replaced, that do not
// call with the token yet.
func (w *e2eRun) runnersWithout(ctx context.Context, token string) ([]string, error) {
	pods, err := w.podsOf(ctx, namespace, "app", "runner")
	var names []string
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			continue // being replaced
		}
		if last, err := w.callsNow(ctx, pod.Name); err != nil || last.Token != token {
			names = append(names, pod.Name)
		}
	}
	return names, err
}

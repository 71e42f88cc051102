// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// Manifests of workloads.
var (
	//go:embed manifests/injected.yaml
	injectedManifest string
	//go:embed manifests/by-hand.yaml
	byHandManifest string
	//go:embed manifests/runner.yaml
	runnerManifest string
	//go:embed manifests/pods.yaml
	podsManifest string
	//go:embed manifests/quick.yaml
	quickManifest string
)

// callers are the pods that call every 200 ms with the Secret of session ci.
var callers = []string{"injected", "by-hand"}

// call is a line that a caller prints, see caller.Line.
type call struct {
	At                        time.Time
	Outcome                   string
	Status                    int
	Token, Certificate, Error string
	Accepted, Refused, Failed int
}

// readCalls returns all lines that a pod has printed.
func (w *e2eRun) readCalls(ctx context.Context, pod string) ([]call, error) {
	text, err := w.keeper.pods.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var calls []call
	for line := range strings.Lines(string(text)) {
		var c call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return calls, fmt.Errorf("pod %s printed something else than JSON: %w", pod, err)
		}
		calls = append(calls, c)
	}
	return calls, nil
}

// callsNow is the latest line of a pod.
func (w *e2eRun) callsNow(ctx context.Context, pod string) (call, error) {
	calls, err := w.readCalls(ctx, pod)
	if err != nil || len(calls) == 0 {
		return call{}, err
	}
	return calls[len(calls)-1], nil
}

// allAccepted returns an error unless all calls of a pod were accepted and none of its containers
// was restarted.
func (w *e2eRun) allAccepted(ctx context.Context, pods ...string) error {
	for _, pod := range pods {
		last, err := w.callsNow(ctx, pod)
		if err != nil {
			return err
		}
		if last.Refused+last.Failed > 0 || last.Accepted == 0 {
			return &walk.UnexpectedError{
				Expected: "all calls of pod " + pod + " are accepted",
				Seen: fmt.Sprintf("%d accepted, %d refused, %d failed; the last: %s %d %s", last.Accepted, last.Refused,
					last.Failed, last.Outcome, last.Status, last.Error),
			}
		}
		object, err := getObject(ctx, w, pod, &corev1.Pod{})
		if err != nil {
			return err
		}
		if n := object.Status.ContainerStatuses[0].RestartCount; n != 0 {
			return &walk.UnexpectedError{Expected: "pod " + pod + " was never restarted", Seen: fmt.Sprintf("%d times", n)}
		}
	}
	return nil
}

// hasAcceptedCall waits for an accepted call of a pod.
func (w *e2eRun) hasAcceptedCall(pod string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		last, err := w.callsNow(ctx, pod)
		return fmt.Sprintf("%d calls accepted, the last: %s %s", last.Accepted, last.Outcome,
			last.Error), last.Outcome == "accepted", err
	}
}

// usesToken waits for accepted calls of a pod with a token.
func (w *e2eRun) usesToken(pod, token string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		last, err := w.callsNow(ctx, pod)
		return fmt.Sprintf("%s with token %s", last.Outcome, last.Token), last.Outcome == "accepted" &&
			last.Token == token, err
	}
}

// podsOf are the names of the pods with a label.
func (w *e2eRun) podsOf(ctx context.Context, namespace, label, value string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := w.client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{label: value})
	return list.Items, err
}

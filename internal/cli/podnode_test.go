// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// withPods makes a session one with perPod.
func withPods(counts v1alpha1.PodCounts) report {
	return func(s *v1alpha1.CoderSession) {
		s.Spec.PerPod = &v1alpha1.PerPod{MaxPods: 20}
		s.Status.Token, s.Status.Secret, s.Status.NextRefreshTime = nil, nil, nil
		s.Status.Pods = &counts
		withCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServingPods, "each pod")(s)
	}
}

// ofPod makes a session that of a pod.
func ofPod(parent, pod string) report {
	return func(s *v1alpha1.CoderSession) {
		s.Labels = map[string]string{v1alpha1.LabelParent: parent}
		s.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Pod", Name: pod, UID: "0a1b2c3d-0000-4000-8000-000000000001", Controller: ptr.To(true)},
		}
	}
}

// createPodSessions creates a deployment with a session for pods, which has three of them, an ordinary
// one, and the session of a pod whose parent is gone.
func (w *pluginEnv) createPodSessions(namespace string) {
	w.t.Helper()
	w.createNamespaces(namespace)
	w.createObjects(newDeployment(namespace, "prod"),
		mintedSession(namespace, "ci", "", "prod", func(s *v1alpha1.CoderSession) { s.Status.Token.ID = "c1C1c1C1c1" }),
		mintedSession(namespace, "runners", "", "prod", withPods(v1alpha1.PodCounts{Live: 3, Ended: 1, Refused: 2}),
			withCondition(v1alpha1.ConditionPodsServed, metav1.ConditionFalse, v1alpha1.ReasonPodLimitReached,
				"as many pods have a token as perPod.maxPods allows, and more wait: raise it, or wait until some have ended")),
		mintedSession(namespace, "agents", "", "prod", withPods(v1alpha1.PodCounts{})),
		mintedSession(namespace, "left-2c4d", "", "prod", ofPod("gone", "left")))
	for i := range 2 {
		w.createObjects(mintedSession(namespace, fmt.Sprintf("runners-%d", i), "", "prod",
			ofPod("runners", fmt.Sprintf("build-%d", i))))
	}
	w.createObjects(mintedSession(namespace, "runners-2", "", "prod", ofPod("runners", "build-2"),
		isNot(v1alpha1.ReasonAccessDenied, "no rule allows user ci-bot")),
		mintedSession(namespace, "runners-3", "", "prod", ofPod("runners", "build-3"),
			func(s *v1alpha1.CoderSession) { s.Status.ObservedGeneration-- }))
}

// The sessions of pods are folded under the session that they are of, which says how many there are.
func TestStatusFoldsTheSessionsOfPods(t *testing.T) {
	w := newPluginEnv(t)
	w.createPodSessions("pods")
	for name, args := range map[string][]string{
		"status-pods":         {"status"},
		"status-pods-wide":    {"status", "-o", "wide"},
		"status-pods-session": {"status", "runners"},
		"status-pods-pod":     {"status", "build-1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.coder(append([]string{"-n", "pods"}, args...)...)
			r.waitForExit(cli.ExitAttention)
			compareGolden(t, name, r.out.String())
		})
	}
	r := w.coder("-n", "pods", "status", "-o", "name")
	r.waitForExit(cli.ExitAttention)
	if got := strings.Count(r.out.String(), "/runners-"); got != 4 {
		t.Errorf("%d sessions of pods are named, want 4, in:\n%s", got, r.out)
	}
	page, err := os.ReadFile("../../docs/guides/kubectl-plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	if shown := readGolden(t, "status-pods"); !strings.Contains(string(page), "$ kubectl coder status -n pods\n"+shown) {
		t.Errorf("the page does not show:\n%s", shown)
	}
}

// B152: the name of a token leads to the session and the pod.
func TestWhose(t *testing.T) {
	w := newPluginEnv(t)
	w.createPodSessions("audit")
	of := func(name string) *v1alpha1.CoderSession {
		s := &v1alpha1.CoderSession{}
		if err := w.cluster.Client.Get(t.Context(), types.NamespacedName{Namespace: "audit", Name: name}, s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	named := func(s *v1alpha1.CoderSession) string { return "cso-k8sabcde-" + string(s.UID)[:8] + "-7" }
	pod, plain := of("runners-1"), of("ci")
	podLines := "  User:     ci-bot\n  Pod:      audit/build-1\n  Of:       audit/runners\n"
	for name, test := range map[string]struct {
		args      []string
		code      int
		out, said string
	}{
		"of a pod": {[]string{named(pod)}, cli.ExitOK,
			"Session audit/runners-1 had token " + named(pod) + ", and is Active: all is well\n" + podLines, ""},
		"of no pod": {[]string{named(plain), "-n", "default"}, cli.ExitOK,
			"Session audit/ci had token " + named(plain) + ", and is Active: all is well\n  User:     ci-bot\n", ""},
		"of a pod that has ended": {[]string{"cso-k8sabcde-ffffffff-1"}, cli.ExitUnreachable, "",
			"a uid that begins with ffffffff"},
		"an unknown id": {[]string{"zzzzzzzzzz"}, cli.ExitUnreachable, "", `no session has the token "zzzzzzzzzz"`},
		"a token":       {[]string{sentinel}, cli.ExitFailed, "", "this is a token itself"},
		"nothing":       {nil, cli.ExitFailed, "", "write the name or the id of one token"},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.coder(append([]string{"-n", "audit", "whose"}, test.args...)...)
			r.waitForExit(test.code)
			if r.out.String() != test.out {
				t.Errorf("it prints\n%s\nwant\n%s", r.out, test.out)
			}
			if said := r.err.String(); !strings.Contains(said, test.said) || strings.Contains(said, sentinel) {
				t.Errorf("it says %q, want %q", said, test.said)
			}
		})
	}
	id := plain.Status.Token.ID
	r := w.coder("-n", "audit", "whose", id)
	r.waitForExit(cli.ExitOK)
	if !strings.Contains(r.out.String(), "Session audit/ci has token "+id) {
		t.Errorf("of the id %s it prints:\n%s", id, r.out)
	}
}

// A session with perPod has no Secret, and no token to be renewed itself.
func TestCommandsOnASessionForPods(t *testing.T) {
	w := newPluginEnv(t)
	w.createPodSessions("forpods")
	r := w.coder("-n", "forpods", "env", "runners", "--force")
	r.waitForExit(cli.ExitBlocked)
	if said := r.err.String(); !strings.Contains(said, "gives each pod a token of its own") {
		t.Errorf("env says %q", said)
	}
}

// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// seeded is a source of random bytes that is the same in every run.
func seeded() io.Reader { return rand.NewChaCha8([32]byte{1}) }

func withPerPod(s *v1alpha1.CoderSession) {
	s.Spec.Auth.Mint, s.Spec.PerPod = &v1alpha1.MintAuth{User: "bot"}, &v1alpha1.PerPod{}
}

// newPodHandler serves pods of the session ci, which has perPod.
func newPodHandler(random io.Reader) *Handler {
	all := &objects{session: newSession(withPerPod), deployment: newDeployment()}
	h := newHandler(all, &objects{}, RefuseUnknown)
	h.random = random
	return h
}

// admit returns what the handler makes of a pod, and fails if it is refused.
func admit(t *testing.T, h *Handler, pod *corev1.Pod, changes ...func(*admission.Request)) *corev1.Pod {
	t.Helper()
	raw := encodeJSON(t, pod)
	request := newRequest(t, raw)
	for _, change := range changes {
		change(&request)
	}
	got := h.Handle(t.Context(), request)
	if !got.Allowed || len(got.Warnings) > 0 {
		t.Fatalf("allowed %v, warnings %q: %v", got.Allowed, got.Warnings, got.Result)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(applyPatches(t, raw, got), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// requireOwn fails unless a pod leads to ci and mounts, in these containers, the Secret that its annotation
// names and no other. It returns the name.
func requireOwn(t *testing.T, pod *corev1.Pod, containers ...string) string {
	t.Helper()
	name := pod.Annotations[v1alpha1.AnnotationPodSession]
	if pod.Labels[v1alpha1.LabelParent] != "ci" || !regexp.MustCompile(`^ci-[b-z2-9]{8}$`).MatchString(name) {
		t.Errorf("labels %v, annotations %v", pod.Labels, pod.Annotations)
	}
	if diff := cmp.Diff([]corev1.Volume{volumeOf("coder-session", name)}, pod.Spec.Volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	var mounted []string
	for _, c := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
		isMount := func(m corev1.VolumeMount) bool { return cmp.Equal(m, mountOf("coder-session")) }
		if slices.ContainsFunc(c.VolumeMounts, isMount) {
			mounted = append(mounted, c.Name)
		}
	}
	if diff := cmp.Diff(containers, mounted); diff != "" {
		t.Errorf("containers that mount it (-want +got):\n%s", diff)
	}
	return name
}

// B150: pods of all controllers, with fixed names and without, with native sidecars and init containers.
func TestPodsGetNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	ofController := func(kind, name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Name, p.GenerateName = name, ""
			p.OwnerReferences = []metav1.OwnerReference{
				{APIVersion: "batch/v1", Kind: kind, Name: "x", Controller: ptr.To(true)},
			}
		}
	}
	sidecar := func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{
			{Name: "setup"}, {Name: "proxy", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
		}
	}
	h, seen := newPodHandler(seeded()), map[string]bool{}
	for name, c := range map[string]struct {
		pod        *corev1.Pod
		containers []string
	}{
		"a pod with generateName":      {newPod(), []string{"job"}},
		"a pod of a StatefulSet":       {newPod(ofController("StatefulSet", "web-0")), []string{"job"}},
		"the same pod, again":          {newPod(ofController("StatefulSet", "web-0")), []string{"job"}},
		"a pod of an indexed Job":      {newPod(ofController("Job", "batch-3-x7k2p")), []string{"job"}},
		"init containers and sidecars": {newPod(sidecar), []string{"setup", "proxy", "job"}},
		"a sidecar alone": {
			newPod(sidecar, withAnnotation(v1alpha1.AnnotationContainers, "proxy")),
			[]string{"proxy"},
		},
		"a pod that has labels of its own": {newPod(func(p *corev1.Pod) { p.Labels["app"] = "web" }), []string{"job"}},
	} {
		own := requireOwn(t, admit(t, h, c.pod), c.containers...)
		if seen[own] {
			t.Errorf("%s: name %s is used twice", name, own)
		}
		seen[own] = true
	}
}

// B150: whatever names a pod brings with it, of a copy or an earlier call, it gets one of its own, and
// mounts nothing else.
func TestNamesThatPodsBringAreReplaced(t *testing.T) {
	t.Parallel()
	h := newPodHandler(seeded())
	first := admit(t, h, newPod())
	was := requireOwn(t, first, "job")
	copied := admit(t, h, first)
	if name := requireOwn(t, copied, "job"); name == was {
		t.Errorf("the copy has the name %s, too", name)
	}
	if len(copied.Spec.Containers[0].VolumeMounts) != 1 {
		t.Errorf("mounts %v", copied.Spec.Containers[0].VolumeMounts)
	}
	dry := admit(t, h, newPod(), func(r *admission.Request) { r.DryRun = ptr.To(true) })
	requireOwn(t, dry, "job")
	claimed := admit(t, h, newPod(withAnnotation(v1alpha1.AnnotationPodSession, "another-one")))
	requireOwn(t, claimed, "job")
	mesh := first.DeepCopy() // another webhook has added a container, and the API server asks again
	mesh.Spec.Containers = append(mesh.Spec.Containers, corev1.Container{Name: "mesh"})
	requireOwn(t, admit(t, h, mesh), "job", "mesh")
}

// A copy of a pod with a token of its own, for a session that pods share, is like any other pod of that.
func TestACopyForASharedSession(t *testing.T) {
	t.Parallel()
	copied := admit(t, newPodHandler(seeded()), newPod())
	known := resolvedPlain()
	h := newHandler(&objects{session: known.Session, deployment: known.Deployment}, &objects{}, RefuseUnknown)
	got := admit(t, h, copied)
	want := admit(t, h, newPod())
	want.Annotations, got.Annotations = withoutEmpty(want.Annotations), withoutEmpty(got.Annotations)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the pod (-want +got):\n%s", diff)
	}
}

func withoutEmpty(all map[string]string) map[string]string {
	if len(all) == 0 {
		return nil
	}
	return all
}

// A Secret with the name of a session that publishes none is no conflict, and is not looked for.
func TestASecretOfTheParentsNameIsNoConflict(t *testing.T) {
	t.Parallel()
	all := foreign(&objects{session: newSession(withPerPod), deployment: newDeployment()})
	h := newHandler(all, &objects{}, RefuseUnknown)
	h.random = seeded()
	requireOwn(t, admit(t, h, newPod()), "job")
}

// A webhook that cannot give names refuses the pods, and says what to do.
func TestAWebhookWithoutNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		random io.Reader
		code   int32
		says   string
	}{
		"the operator serves no pods": {nil, http.StatusForbidden, "have it installed with webhook.perPod, or remove perPod"},
		"no entropy":                  {iotest.ErrReader(errors.New("no entropy")), http.StatusInternalServerError, "random"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := newPodHandler(c.random).Handle(t.Context(), newRequest(t, encodeJSON(t, newPod())))
			if got.Allowed || got.Result.Code != c.code || !strings.Contains(got.Result.Message, c.says) {
				t.Errorf("allowed %v: %+v", got.Allowed, got.Result)
			}
		})
	}
	// A session that pods share needs no names.
	shared := newHandler(&objects{session: newSession(), deployment: newDeployment()}, &objects{}, RefuseUnknown)
	if pod := admit(t, shared, newPod()); pod.Labels[v1alpha1.LabelParent] != "" {
		t.Errorf("labels %v", pod.Labels)
	}
}

// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// objects is a reader of these objects, or one that always fails.
type objects struct {
	client.Reader
	err        error
	session    *v1alpha1.CoderSession
	deployment *v1alpha1.CoderDeployment
	secret     *metav1.PartialObjectMetadata
	reads      int
}

func (o *objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	o.reads++
	if o.err != nil {
		return o.err
	}
	switch into := into.(type) {
	case *v1alpha1.CoderSession:
		if o.session != nil && client.ObjectKeyFromObject(o.session) == key {
			*into = *o.session
			return nil
		}
	case *v1alpha1.CoderDeployment:
		if o.deployment != nil && client.ObjectKeyFromObject(o.deployment) == key {
			*into = *o.deployment
			return nil
		}
	case *metav1.PartialObjectMetadata:
		if o.secret != nil && into.Kind == "Secret" && client.ObjectKeyFromObject(o.secret) == key {
			into.ObjectMeta = o.secret.ObjectMeta
			return nil
		}
	default:
		panic("nothing else is read, no contents of Secrets above all") // B90
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func newRequest(t *testing.T, raw []byte) admission.Request {
	t.Helper()
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "1", Operation: admissionv1.Create, Namespace: "builds",
		Kind:   metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
		Object: runtime.RawExtension{Raw: raw},
	}}
}

func newHandler(cache, server client.Reader, unknown UnknownSession) *Handler {
	scheme := runtime.NewScheme()
	_ = corev1.AddToScheme(scheme)
	return NewHandler(Options{Cache: cache, Server: server, Decoder: admission.NewDecoder(scheme),
		UnknownSession: unknown})
}

func encodeJSON(t *testing.T, object any) []byte {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// applyPatches applies a response to the request's pod.
func applyPatches(t *testing.T, raw []byte, response admission.Response) []byte {
	t.Helper()
	if len(response.Patches) == 0 {
		return raw
	}
	patch, err := jsonpatch.DecodePatch(encodeJSON(t, response.Patches))
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestThePatchMakesThePod(t *testing.T) {
	t.Parallel()
	filled := newPod(withEnv("A", "1"), withEnv("B", "2"),
		withVolume("data", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}),
		withMount(corev1.VolumeMount{Name: "data", MountPath: "/data"}), func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "setup"}}
		})
	for name, p := range map[string]*corev1.Pod{"bare": newPod(), "filled": filled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := resolvedWithAll()
			h := newHandler(&objects{session: known.Session, deployment: known.Deployment},
				&objects{err: errors.New("not asked")}, RefuseUnknown)
			raw := encodeJSON(t, p)
			got := h.Handle(t.Context(), newRequest(t, raw))
			want, _ := injectInto(t, p, known)
			have := &corev1.Pod{}
			if err := json.Unmarshal(applyPatches(t, raw, got), have); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, have); diff != "" || !got.Allowed {
				t.Errorf("allowed %v (-want +got):\n%s", got.Allowed, diff)
			}
			if len(got.Warnings) > 0 {
				t.Errorf("warnings: %q", got.Warnings)
			}
			again := h.Handle(t.Context(), newRequest(t, encodeJSON(t, have)))
			if !again.Allowed || len(again.Patches) > 0 || len(again.Warnings) > 0 {
				t.Errorf("asked again: %+v", again)
			}
		})
	}
}

// Fields of a newer API, which this version does not know, are kept.
func TestUnknownFieldsStay(t *testing.T) {
	t.Parallel()
	known := resolvedPlain()
	h := newHandler(&objects{session: known.Session, deployment: known.Deployment}, &objects{}, RefuseUnknown)
	raw := []byte(`{"metadata":{"labels":{"credentials.coder.com/inject":"true"},` +
		`"annotations":{"credentials.coder.com/session":"ci"}},` +
		`"spec":{"future":{"x":1},"containers":[{"name":"job","future":true}]}}`)
	got := string(applyPatches(t, raw, h.Handle(t.Context(), newRequest(t, raw))))
	for _, fragment := range []string{`"future":{"x":1}`, `"future":true`, `CODER_CONFIG_DIR`} {
		if !strings.Contains(got, fragment) {
			t.Errorf("%s is not in %s", fragment, got)
		}
	}
	if strings.Contains(got, "status") {
		t.Errorf("more was added than asked for: %s", got)
	}
}

// foreign adds a Secret of another owner with the session's name.
func foreign(o *objects) *objects {
	o.secret = &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci"}}
	return o
}

// retained adds a Secret that a deleted session of the name has left.
func retained(o *objects) *objects {
	foreign(o).secret.Labels = map[string]string{v1alpha1.LabelSession: "ci"}
	o.secret.Annotations = map[string]string{v1alpha1.AnnotationRetained: "true"}
	return o
}

// B139: whose the Secret is counts, too.
func TestSessionsAreLookedUp(t *testing.T) {
	t.Parallel()
	known := resolvedWithAll()
	all := func() *objects { return &objects{session: known.Session, deployment: known.Deployment} }
	forbidden := apierrors.NewForbidden(schema.GroupResource{}, "ci", nil)
	for name, c := range map[string]struct {
		cache, server *objects
		unknown       UnknownSession
		// code is 200 or that of the refusal.
		code        int32
		variables   int
		says        string
		serverReads int
	}{
		"in the cache": {cache: all(), server: &objects{}, code: 200, variables: 5},
		"not yet in the cache": {cache: &objects{}, server: all(), code: 200, variables: 5,
			serverReads: 2},
		"no cache yet": {cache: &objects{err: errors.New("the cache is not started")},
			server: all(), code: 200, variables: 5, serverReads: 3},
		"another owner's Secret": {cache: foreign(all()), server: &objects{}, code: 403, says: "does not belong to"},
		"another owner's Secret, admitted": {cache: foreign(all()), server: &objects{}, unknown: AdmitUnknown, code: 403,
			says: "does not belong to"},
		"another owner's Secret, no cache yet": {cache: &objects{err: errors.New("the cache is not started")},
			server: foreign(all()), code: 403, says: "does not belong to", serverReads: 3},
		"a Secret that was left for the session": {cache: retained(all()), server: &objects{}, code: 200, variables: 5},
		"nowhere": {cache: &objects{}, server: &objects{}, code: 403, says: "create it",
			serverReads: 1},
		"nowhere, admitted": {cache: &objects{}, server: &objects{}, unknown: AdmitUnknown, code: 200,
			variables: 1, says: "the pod waits", serverReads: 1},
		"no deployment": {cache: &objects{session: known.Session}, server: &objects{}, code: 200,
			variables: 3, says: "no CoderDeployment", serverReads: 1},
		"a deployment that may not be read": {cache: &objects{session: known.Session}, server: &objects{err: forbidden},
			code: 200, variables: 3, says: "may read", serverReads: 1},
		"a namespace that may not be read": {cache: &objects{}, server: &objects{err: forbidden}, code: 403,
			says: "--watch-namespaces", serverReads: 1},
		"the API server is busy": {cache: &objects{}, server: &objects{err: errors.New("busy")}, code: 500,
			says: "try again", serverReads: 1},
		"the API server is busy, admitted": {cache: &objects{}, server: &objects{err: errors.New("busy")},
			unknown: AdmitUnknown, code: 200, variables: 1, says: "could not be read", serverReads: 1},
		"a busy server for the deployment": {cache: &objects{session: known.Session},
			server: &objects{err: errors.New("busy")}, code: 500, says: "try again", serverReads: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.unknown == "" {
				c.unknown = RefuseUnknown
			}
			raw := encodeJSON(t, newPod())
			got := newHandler(c.cache, c.server, c.unknown).Handle(t.Context(), newRequest(t, raw))
			code := int32(http.StatusOK)
			text := strings.Join(got.Warnings, "\n")
			if !got.Allowed {
				code, text = got.Result.Code, got.Result.Message
			}
			if code != c.code || (text != "") != (c.says != "") || !strings.Contains(text, c.says) {
				t.Errorf("%d %q, want %d %q", code, text, c.code, c.says)
			}
			have := &corev1.Pod{}
			if err := json.Unmarshal(applyPatches(t, raw, got), have); err != nil {
				t.Fatal(err)
			}
			if len(have.Spec.Containers[0].Env) != c.variables || c.server.reads != c.serverReads {
				t.Errorf("%d variables after %d reads, want %d after %d", len(have.Spec.Containers[0].Env),
					c.server.reads, c.variables, c.serverReads)
			}
		})
	}
}

func TestOtherRequestsPass(t *testing.T) {
	t.Parallel()
	h := newHandler(&objects{}, &objects{}, RefuseUnknown)
	for name, change := range map[string]func(*admission.Request){
		"no label":   func(r *admission.Request) { r.Object.Raw = encodeJSON(t, corev1.Pod{}) },
		"an update":  func(r *admission.Request) { r.Operation = admissionv1.Update },
		"eviction":   func(r *admission.Request) { r.SubResource = "eviction" },
		"other kind": func(r *admission.Request) { r.Kind.Kind = "PodTemplate" },
		"static pod": func(r *admission.Request) {
			r.Object.Raw = encodeJSON(t, newPod(withAnnotation(corev1.MirrorPodAnnotationKey, "x")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRequest(t, encodeJSON(t, newPod()))
			change(&r)
			if got := h.Handle(t.Context(), r); !got.Allowed || len(got.Patches) > 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	r := newRequest(t, []byte("{"))
	if got := h.Handle(t.Context(), r); got.Allowed || got.Result.Code != http.StatusBadRequest {
		t.Errorf("what is no pod: %+v", got)
	}
}

// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Path is where the handler is served.
const Path = "/mutate-v1-pod"

// Options are what a Handler is built with. All fields are needed.
type Options struct {
	// Cache reads sessions and deployments from the manager's cache.
	Cache client.Reader
	// Server reads them from the API server, where the cache has none.
	Server client.Reader
	// Decoder of pods.
	Decoder admission.Decoder
	// UnknownSession says what becomes of a pod whose session is not there.
	UnknownSession UnknownSession
}

// Handler is the mutating admission handler for pods that are created. It keeps nothing between two requests and is safe for
// concurrent use.
type Handler struct {
	cache, server client.Reader
	decoder       admission.Decoder
	unknown       UnknownSession
}

// NewHandler returns a Handler.
func NewHandler(o Options) *Handler {
	return &Handler{cache: o.Cache, server: o.Server, decoder: o.Decoder, unknown: o.UnknownSession}
}

// Handle implements admission.Handler. A pod that asks for nothing passes unchanged. Refusals have code 403, which
// kubectl and controllers show with the sentence that they come with; where the API server could not be asked it is 500.
func (h *Handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	if req.Operation != admissionv1.Create || req.SubResource != "" || req.Kind.Group != "" || req.Kind.Kind != "Pod" {
		return admission.Allowed("")
	}
	pod := &corev1.Pod{}
	if err := h.decoder.Decode(req, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("decode the pod: %w", err))
	}
	wanted, err := RequestOf(pod)
	if err != nil {
		return refused(err)
	}
	if wanted == nil {
		return admission.Allowed("")
	}
	// The image of a static pod, which runs whatever is said about it here.
	if _, static := pod.Annotations[corev1.MirrorPodAnnotationKey]; static {
		return admission.Allowed("").WithWarnings("a static pod cannot mount Secrets: nothing is injected")
	}
	// The request's namespace: a pod that a controller makes may have none in itself.
	key := types.NamespacedName{Namespace: req.Namespace, Name: wanted.Session}
	known, err := h.lookUp(ctx, key)
	var warnings []string
	if err == nil {
		warnings, err = checkSession(wanted, known, req.Namespace, h.unknown)
	} else {
		logf.FromContext(ctx).Error(err, "a pod's session cannot be looked up")
		warnings, err = unreadable(key, err, h.unknown)
	}
	if err != nil {
		return refused(err)
	}
	return respond(pod, wanted, known, warnings)
}

// unreadable says what becomes of a pod whose session could not be looked up.
func unreadable(key types.NamespacedName, cause error, unknown UnknownSession) ([]string, error) {
	trouble := "the API server did not tell of it: try again"
	if apierrors.IsForbidden(cause) {
		trouble = "the operator may not read what it refers to, or works in other namespaces only (--watch-namespaces)"
	}
	trouble = fmt.Sprintf("CoderSession %q in namespace %q: %s", key.Name, key.Namespace, trouble)
	switch {
	case unknown == AdmitUnknown:
		return []string{trouble + "; the pod waits for its Secret"}, nil
	case apierrors.IsForbidden(cause):
		return nil, refuse("%s", trouble)
	}
	return nil, errors.New(trouble)
}

func refused(err error) admission.Response {
	var refusal *RefusalError
	if errors.As(err, &refusal) {
		return admission.Denied(refusal.Sentence)
	}
	return admission.Errored(http.StatusInternalServerError, err)
}

// respond injects and encodes. What is said of the session is said once: not when the pod comes by a second time
// (reinvocationPolicy IfNeeded) and has it all.
func respond(pod *corev1.Pod, wanted *Request, known Resolved, warnings []string) admission.Response {
	changed, more := Inject(pod, wanted, known)
	if equality.Semantic.DeepEqual(pod, changed) {
		return admission.Allowed("").WithWarnings(more...)
	}
	// The difference of two encodings, and not to what was sent: a field of a newer API that this version does not know
	// would seem to be removed.
	before, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("encode the pod: %w", err))
	}
	after, err := json.Marshal(changed)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("encode the changed pod: %w", err))
	}
	return admission.PatchResponseFromRaw(before, after).WithWarnings(append(warnings, more...)...)
}

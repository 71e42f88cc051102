// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// Path is the URL path of the handler.
const Path = "/mutate-v1-pod"

// Options configure a Handler. All fields but Random are required.
type Options struct {
	// Cache reads sessions and deployments from the manager's cache.
	Cache client.Reader
	// Server reads them from the API server if they are not in the cache.
	Server client.Reader
	// Decoder of pods.
	Decoder admission.Decoder
	// UnknownSession says what happens to a pod whose session does not exist.
	UnknownSession UnknownSession
	// Random is the source of the names of pods' own sessions. Nil: this operator does not serve pods of
	// sessions with perPod, and they are refused.
	Random io.Reader
}

// Handler is the mutating admission handler for pods that are created. It is stateless and safe for
// concurrent use.
type Handler struct {
	cache, server client.Reader
	decoder       admission.Decoder
	unknown       UnknownSession
	random        io.Reader
}

// NewHandler returns a Handler.
func NewHandler(o Options) *Handler {
	return &Handler{cache: o.Cache, server: o.Server, decoder: o.Decoder, unknown: o.UnknownSession,
		random: o.Random}
}

// Handle implements admission.Handler. A pod that asks for nothing passes unchanged. Refusals have
// code 403, which kubectl and controllers show with the message; if the API server cannot be
// reached the code is 500.
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
		return refusalResponse(err)
	}
	if wanted == nil {
		return admission.Allowed("")
	}
	// A mirror pod represents a static pod, which runs whatever is answered here.
	if _, static := pod.Annotations[corev1.MirrorPodAnnotationKey]; static {
		return admission.Allowed("").WithWarnings("a static pod cannot mount Secrets: nothing is injected")
	}
	// The namespace of the request: pods that a controller creates may not have one in their
	// metadata.
	key := types.NamespacedName{Namespace: req.Namespace, Name: wanted.Session}
	known, err := h.lookUp(ctx, key)
	var warnings []string
	if err == nil {
		warnings, err = checkSession(wanted, known, req.Namespace, h.unknown)
	} else {
		logf.FromContext(ctx).Error(err, "a pod's session cannot be looked up")
		warnings, err = handleLookupError(key, err, h.unknown)
	}
	if err == nil {
		err = h.namePodSession(wanted, known)
	}
	if err != nil {
		return refusalResponse(err)
	}
	return buildResponse(pod, wanted, known, warnings)
}

// namePodSession gives a request the name of the pod's own session, if its session has perPod.
func (h *Handler) namePodSession(wanted *Request, known Resolved) (err error) {
	switch {
	case known.Session == nil || known.Session.Spec.PerPod == nil:
		return nil
	case h.random == nil:
		return newRefusal("CoderSession %q gives each pod a token of its own, and this operator does not serve pods: "+
			"have it installed with webhook.perPod, or remove perPod from the session", wanted.Session)
	}
	wanted.PodSession, err = podsession.NewName(h.random, wanted.Session)
	return err
}

// handleLookupError decides about a pod whose session could not be read.
func handleLookupError(key types.NamespacedName, cause error, unknown UnknownSession) ([]string, error) {
	trouble := "it could not be read from the API server: try again"
	if apierrors.IsForbidden(cause) {
		trouble = "the operator may not read what it refers to, or works in other namespaces only (--watch-namespaces)"
	}
	trouble = fmt.Sprintf("CoderSession %q in namespace %q: %s", key.Name, key.Namespace, trouble)
	switch {
	case unknown == AdmitUnknown:
		return []string{trouble + "; the pod waits for its Secret"}, nil
	case apierrors.IsForbidden(cause):
		return nil, newRefusal("%s", trouble)
	}
	return nil, errors.New(trouble)
}

func refusalResponse(err error) admission.Response {
	var refusal *RefusalError
	if errors.As(err, &refusal) {
		return admission.Denied(refusal.Message)
	}
	return admission.Errored(http.StatusInternalServerError, err)
}

// buildResponse injects into the pod and encodes the patch. Warnings about the session are given
// once, and not again when the API server reinvokes the webhook (reinvocationPolicy IfNeeded) and
// nothing changes.
func buildResponse(pod *corev1.Pod, wanted *Request, known Resolved, warnings []string) admission.Response {
	changed, more := Inject(pod, wanted, known)
	if equality.Semantic.DeepEqual(pod, changed) {
		return admission.Allowed("").WithWarnings(more...)
	}
	// The patch is the difference between two encodings by this version. Compared with the original
	// JSON, fields of a newer API that this version does not know would seem to be removed.
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

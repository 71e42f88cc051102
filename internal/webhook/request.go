// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// RefusalError says why a pod is refused, and what to do about it.
type RefusalError struct {
	// Message is shown to the creator of the pod.
	Message string
}

// Error returns the message.
func (e *RefusalError) Error() string { return e.Message }

func newRefusal(format string, args ...any) *RefusalError {
	return &RefusalError{Message: fmt.Sprintf(format, args...)}
}

// Request is what a pod asks for.
type Request struct {
	// Session is the name of a session in the pod's namespace.
	Session string
	// PodSession is the name of the session that the operator keeps for this pod alone, and of its Secret.
	// Empty: pods share the Secret of Session.
	PodSession string
	// Containers are the names of the containers that get the Secret. Nil: all.
	Containers []string
}

// RequestOf returns what a pod asks for, or nil if it asks for nothing. An invalid request is a
// *[RefusalError].
func RequestOf(pod *corev1.Pod) (*Request, error) {
	if pod.Labels[v1alpha1.LabelInject] != "true" {
		return nil, nil
	}
	name := strings.TrimSpace(pod.Annotations[v1alpha1.AnnotationSession])
	if name == "" {
		return nil, newRefusal("the pod has the label %s: \"true\" and does not say which session it wants: write "+
			"the annotation %s: "+
			"<name of a CoderSession in the pod's namespace> beside it, or remove the label",
			v1alpha1.LabelInject, v1alpha1.AnnotationSession)
	}
	// The name becomes part of a path, even if there is no such session.
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, newRefusal("the annotation %s: %q is no name: write that of a CoderSession in the pod's "+
			"namespace, without the namespace",
			v1alpha1.AnnotationSession, name)
	}
	containers, err := containersOf(pod)
	if err != nil {
		return nil, err
	}
	return &Request{Session: name, Containers: containers}, nil
}

// containersOf returns the names in the pod's annotation. All of them must be containers of the
// pod.
func containersOf(pod *corev1.Pod) ([]string, error) {
	var there, wanted []string
	for _, c := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
		there = append(there, c.Name)
	}
	for _, name := range strings.Split(pod.Annotations[v1alpha1.AnnotationContainers], ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if !slices.Contains(there, name) {
			return nil, newRefusal("the annotation %s names container %q, which the pod does not have: write some of %s",
				v1alpha1.AnnotationContainers, name, strings.Join(there, ", "))
		}
		wanted = append(wanted, name)
	}
	return wanted, nil
}

// wantsContainer reports whether the container with that name gets the Secret.
func (r *Request) wantsContainer(container string) bool {
	return len(r.Containers) == 0 || slices.Contains(r.Containers, container)
}

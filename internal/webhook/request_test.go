// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

func TestRequestOf(t *testing.T) {
	t.Parallel()
	labelled := func(value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Labels[v1alpha1.LabelInject] = value }
	}
	for name, c := range map[string]struct {
		pod     *corev1.Pod
		want    *Request
		refused []string
	}{
		"asks":               {pod: newPod(), want: &Request{Session: "ci"}},
		"a blank at the end": {pod: newPod(withAnnotation(v1alpha1.AnnotationSession, "ci ")), want: &Request{Session: "ci"}},
		"names containers": {pod: newPod(withAnnotation(v1alpha1.AnnotationContainers, "job")),
			want: &Request{Session: "ci", Containers: []string{"job"}}},
		"no label":      {pod: &corev1.Pod{}},
		"another label": {pod: newPod(labelled("false"))},
		"no annotation": {pod: newPod(withAnnotation(v1alpha1.AnnotationSession, "")),
			refused: []string{v1alpha1.AnnotationSession + ": <name"}},
		"a namespace in it": {pod: newPod(withAnnotation(v1alpha1.AnnotationSession, "builds/ci")),
			refused: []string{`"builds/ci" is no name`}},
		"a way out": {pod: newPod(withAnnotation(v1alpha1.AnnotationSession, "..")),
			refused: []string{"is no name"}},
		"an unknown container": {pod: newPod(withAnnotation(v1alpha1.AnnotationContainers, "job,jbo")),
			refused: []string{`names container "jbo"`, "write some of job"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := RequestOf(c.pod)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var refusal *RefusalError
			if errors.As(err, &refusal) != (c.refused != nil) {
				t.Fatalf("error: %v", err)
			}
			for _, fragment := range c.refused {
				if !strings.Contains(refusal.Message, fragment) {
					t.Errorf("%q does not say %q", refusal.Message, fragment)
				}
			}
		})
	}
}

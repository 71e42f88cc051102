// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const ciFolder = "/var/run/secrets/coder.com/ci"

// newPod asks for the session ci and has one container, job.
func newPod(options ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "job-",
			Labels:       map[string]string{v1alpha1.LabelInject: "true"},
			Annotations:  map[string]string{v1alpha1.AnnotationSession: "ci"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "job", Image: "job"}}},
	}
	for _, option := range options {
		option(p)
	}
	return p
}

func withAnnotation(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[key] = value }
}

func withVolume(name string, source corev1.VolumeSource) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	}
}

// withMount adds a mount to the container job.
func withMount(m corev1.VolumeMount) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, m)
	}
}

// withEnv adds a variable to the container job.
func withEnv(name, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: name, Value: value})
	}
}

func newSession(options ...func(*v1alpha1.CoderSession)) *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "ci", UID: "1"},
		Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod", Namespace: "coder"}},
	}
	for _, option := range options {
		option(s)
	}
	return s
}

func withSecret(spec v1alpha1.GeneratedSecret) func(*v1alpha1.CoderSession) {
	return func(s *v1alpha1.CoderSession) { s.Spec.Secret = &spec }
}

func includesCertificate(s *v1alpha1.CoderSession) {
	s.Spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
}

func withDeletion(s *v1alpha1.CoderSession) {
	s.DeletionTimestamp = ptr.To(metav1.NewTime(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)))
}

func notReady(reason string) func(*v1alpha1.CoderSession) {
	return func(s *v1alpha1.CoderSession) {
		s.Status.Conditions = []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason}}
	}
}

func newDeployment(options ...func(*v1alpha1.CoderDeploymentSpec)) *v1alpha1.CoderDeployment {
	d := &v1alpha1.CoderDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "prod"},
		Spec:       v1alpha1.CoderDeploymentSpec{URL: "https://coder.example.com"},
	}
	for _, option := range options {
		option(&d.Spec)
	}
	return d
}

func withCertificate(d *v1alpha1.CoderDeploymentSpec) {
	if d.TLS == nil {
		d.TLS = &v1alpha1.TLSConfig{}
	}
	d.TLS.ClientCertificateSecretName = "mtls"
}

func withCA(d *v1alpha1.CoderDeploymentSpec) {
	if d.TLS == nil {
		d.TLS = &v1alpha1.TLSConfig{}
	}
	d.TLS.CABundle = &v1alpha1.CABundleRef{Kind: "ConfigMap", Name: "ca"}
}

func withHeader(value string) func(*v1alpha1.CoderDeploymentSpec) {
	return func(d *v1alpha1.CoderDeploymentSpec) {
		d.Headers = append(d.Headers, v1alpha1.Header{Name: "X-Edge", Value: &value})
	}
}

func withHeaderFrom(d *v1alpha1.CoderDeploymentSpec) {
	d.Headers = append(d.Headers, v1alpha1.Header{Name: "X-Id", ValueFrom: &v1alpha1.HeaderSource{
		SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "edge", Key: "id"},
	}})
}

// resolvedWithAll has a session whose Secret has all keys, and its deployment.
func resolvedWithAll() Resolved {
	return Resolved{Session: newSession(includesCertificate),
		Deployment: newDeployment(withCertificate, withCA, withHeaderFrom)}
}

func resolvedPlain() Resolved { return Resolved{Session: newSession(), Deployment: newDeployment()} }

// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// manifests are those of the operator's kinds, typed.
type manifests struct {
	deployment appsv1.Deployment
	services   map[string]corev1.Service // by name
	found      []string
}

// findContradictions returns the references between manifests that lead nowhere: selectors without
// a match, and missing ports, roles and Services. The API server accepts all of these.
func findContradictions(objects []*unstructured.Unstructured) []string {
	m := &manifests{services: map[string]corev1.Service{}}
	for _, object := range ofKind(objects, "Deployment") {
		m.convertStrictly(object, &m.deployment)
	}
	m.checkSelector("Deployment", m.deployment.Spec.Selector)
	for _, object := range ofKind(objects, "Service") {
		var service corev1.Service
		m.convertStrictly(object, &service)
		m.services[service.Name] = service
		m.checkSelector("Service "+service.Name, &metav1.LabelSelector{MatchLabels: service.Spec.Selector})
		for _, port := range service.Spec.Ports {
			m.checkPort("Service "+service.Name, port.TargetPort)
		}
	}
	for _, object := range objects {
		m.checkObject(object, objects)
	}
	return m.found
}

func (m *manifests) checkObject(object *unstructured.Unstructured, all []*unstructured.Unstructured) {
	switch object.GetKind() {
	case "ServiceAccount":
		if m.deployment.Spec.Template.Spec.ServiceAccountName != object.GetName() {
			m.addFault("the pods do not have the ServiceAccount %s", object.GetName())
		}
	case "PodDisruptionBudget":
		var budget policyv1.PodDisruptionBudget
		m.convertStrictly(object, &budget)
		m.checkSelector("PodDisruptionBudget", budget.Spec.Selector)
	case "NetworkPolicy":
		var policy networkingv1.NetworkPolicy
		m.convertStrictly(object, &policy)
		m.checkSelector("NetworkPolicy", &policy.Spec.PodSelector)
		for _, rule := range policy.Spec.Ingress {
			for _, port := range rule.Ports {
				m.checkPort("NetworkPolicy", *port.Port)
			}
		}
	case "MutatingWebhookConfiguration":
		var configuration admissionregistrationv1.MutatingWebhookConfiguration
		m.convertStrictly(object, &configuration)
		m.checkWebhook(configuration)
	case "RoleBinding", "ClusterRoleBinding":
		m.checkBinding(object, all)
	case "ServiceMonitor":
		m.checkMonitor(object)
	case "Ingress":
		var ingress networkingv1.Ingress
		m.convertStrictly(object, &ingress)
		backend := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service
		m.checkServicePort("Ingress", backend.Name, func(p corev1.ServicePort) bool { return p.Name == backend.Port.Name })
	case "HTTPRoute":
		rules, _, _ := unstructured.NestedSlice(object.Object, "spec", "rules")
		backend := rules[0].(map[string]any)["backendRefs"].([]any)[0].(map[string]any)
		m.checkServicePort("HTTPRoute", backend["name"].(string),
			func(p corev1.ServicePort) bool { return int64(p.Port) == backend["port"] })
	}
}

func (m *manifests) checkWebhook(configuration admissionregistrationv1.MutatingWebhookConfiguration) {
	service := configuration.Webhooks[0].ClientConfig.Service
	m.checkServicePort("webhook", service.Name, func(p corev1.ServicePort) bool { return p.Port == *service.Port })
	if service.Namespace != m.deployment.Namespace {
		m.addFault("the webhook's Service is looked for in %s", service.Namespace)
	}
	name := "--webhook-name=" + configuration.Name
	var args []string
	for _, container := range m.deployment.Spec.Template.Spec.Containers {
		args = append(args, container.Args...)
	}
	if isDefault := configuration.Name == "coder-session-operator-webhook"; !isDefault && !slices.Contains(args, name) {
		m.addFault("the manager does not know of its webhook's name %s: %q", configuration.Name, args)
	}
	if service.Name != configuration.Name {
		m.addFault("the webhook's Service is %s, its configuration %s", service.Name, configuration.Name)
	}
}

func (m *manifests) checkBinding(object *unstructured.Unstructured, all []*unstructured.Unstructured) {
	var binding rbacv1.RoleBinding
	m.convertStrictly(object, &binding)
	scope := binding.Namespace
	if binding.RoleRef.Kind == "ClusterRole" {
		scope = ""
	}
	if ofKind(all, binding.RoleRef.Kind)[scope+"/"+binding.RoleRef.Name] == nil {
		m.addFault("%s %s: no %s %s", object.GetKind(), binding.Name, binding.RoleRef.Kind, binding.RoleRef.Name)
	}
	for _, subject := range binding.Subjects {
		if subject.Name != m.deployment.Spec.Template.Spec.ServiceAccountName || subject.Namespace != m.deployment.Namespace {
			m.addFault("%s %s is for %s/%s, which the pods are not", object.GetKind(), binding.Name, subject.Namespace,
				subject.Name)
		}
	}
}

// checkMonitor expects that the ServiceMonitor selects the Service of the metrics only, since names
// of ports are not unique.
func (m *manifests) checkMonitor(object *unstructured.Unstructured) {
	wanted, _, _ := unstructured.NestedStringMap(object.Object, "spec", "selector", "matchLabels")
	endpoints, _, _ := unstructured.NestedSlice(object.Object, "spec", "endpoints")
	var selected []string
	for name, service := range m.services {
		if labels.SelectorFromSet(wanted).Matches(labels.Set(service.Labels)) {
			selected = append(selected, name)
		}
	}
	if len(selected) != 1 {
		m.addFault("the ServiceMonitor selects the Services %q", selected)
		return
	}
	port := endpoints[0].(map[string]any)["port"]
	m.checkServicePort("ServiceMonitor", selected[0], func(p corev1.ServicePort) bool {
		return p.Name == port && p.TargetPort == intstr.FromString("metrics")
	})
}

func (m *manifests) checkSelector(what string, selector *metav1.LabelSelector) {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil || parsed.Empty() || !parsed.Matches(labels.Set(m.deployment.Spec.Template.Labels)) {
		m.addFault("%s: %s does not select the pods (%v)", what, parsed, err)
	}
}

// checkPort expects that the pods have a port of that name.
func (m *manifests) checkPort(what string, port intstr.IntOrString) {
	for _, container := range m.deployment.Spec.Template.Spec.Containers {
		for _, has := range container.Ports {
			if has.Name == port.String() {
				return
			}
		}
	}
	m.addFault("%s: the pods have no port %s", what, port.String())
}

func (m *manifests) checkServicePort(what, name string, is func(corev1.ServicePort) bool) {
	service, exists := m.services[name]
	if !exists || !slices.ContainsFunc(service.Spec.Ports, is) {
		m.addFault("%s: no such port of a Service %s: %+v", what, name, service.Spec.Ports)
	}
}

// convertStrictly reports fields that the type does not have.
func (m *manifests) convertStrictly(object *unstructured.Unstructured, into any) {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true); err != nil {
		m.addFault("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

func (m *manifests) addFault(format string, args ...any) {
	m.found = append(m.found, fmt.Sprintf(format, args...))
}

// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	theDeployment = "Deployment " + defaultNamespace + "/coder-session-operator"
	theRole       = "ClusterRole /coder-session-operator"
	theWebhook    = "coder-session-operator-webhook"
	thePolicies   = "coder-session-operator-admission-policies"
)

type byKey = map[string]map[string]any

// meant are the intended differences between config and the chart. Each is removed before the two
// are compared.
var meant = []struct {
	why    string
	remove func(config, chart byKey) bool
}{
	{"Helm does not own the namespace, which config makes with its pod security labels", func(config, _ byKey) bool {
		return removeKey(config, "Namespace /"+defaultNamespace)
	}},
	{"Helm must not delete the CRDs, and all sessions with them, with the release", func(_, chart byKey) bool {
		found := false
		for key, object := range chart {
			if strings.HasPrefix(key, "CustomResourceDefinition ") {
				annotations := object["metadata"].(map[string]any)["annotations"].(map[string]any)
				found = annotations["helm.sh/resource-policy"] == "keep"
				delete(annotations, "helm.sh/resource-policy")
			}
		}
		return found
	}},
	{"config has the image that make deploy replaces, the chart that of its version", func(config, chart byKey) bool {
		return managerContainer(config)["image"] == "coder-session-operator:latest" &&
			managerContainer(chart)["image"] == "coder-session-operator:0.2.0" &&
			removeKey(managerContainer(config), "image") && removeKey(managerContainer(chart), "image")
	}},
	{"the chart passes all values on, also those that are the manager's defaults", reduceArgs},
	{"the rule for the webhook's caBundle is in the generated role: a chart may have Roles alone beside it",
		func(config, chart byKey) bool { return moveRule(config, chart, theWebhook) }},
	{"so is the rule for the admission policies",
		func(config, chart byKey) bool { return moveRule(config, chart, thePolicies) }},
	{"kustomize takes kinds that it does not know for those of namespaces; the API server ignores that",
		func(config, _ byKey) bool {
			found := 0
			for _, key := range slices.Collect(maps.Keys(config)) {
				if object := config[key]; strings.HasPrefix(key, "ValidatingAdmissionPolicy") {
					delete(config, key)
					delete(object["metadata"].(map[string]any), "namespace")
					config[strings.Replace(key, defaultNamespace, "", 1)] = object
					found++
				}
			}
			return found == 6
		}},
}

// moveRule removes the only rule of a ClusterRole of the chart's from config's role, and the
// ClusterRole with its binding.
func moveRule(config, chart byKey, name string) bool {
	own, exists := chart["ClusterRole /"+name]
	if !exists {
		return false
	}
	rules := config[theRole]["rules"].([]any)
	at := slices.IndexFunc(rules,
		func(rule any) bool { return cmp.Equal(withSortedVerbs(own["rules"].([]any)[0]), withSortedVerbs(rule)) })
	if at < 0 {
		return false
	}
	config[theRole]["rules"] = slices.Delete(rules, at, at+1)
	return removeKey(chart, "ClusterRole /"+name) && removeKey(chart, "ClusterRoleBinding /"+name)
}

func removeKey[V any](from map[string]V, key string) bool {
	_, exists := from[key]
	delete(from, key)
	return exists
}

func managerContainer(objects byKey) map[string]any {
	containers, _, _ := unstructured.NestedFieldNoCopy(objects[theDeployment], "spec", "template", "spec", "containers")
	return containers.([]any)[0].(map[string]any)
}

// withSortedVerbs returns a copy of a rule with its verbs sorted, as in generated rules.
func withSortedVerbs(rule any) any {
	ordered := maps.Clone(rule.(map[string]any))
	verbs := slices.Clone(ordered["verbs"].([]any))
	slices.SortFunc(verbs, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	ordered["verbs"] = verbs
	return ordered
}

// defaultArgs are flags with the manager's defaults, or as these are written in values.
var defaultArgs = []string{
	"--zap-log-level=info", "--revocation-timeout=10m", "--orphan-grace=10m", "--max-concurrent-reconciles=10",
	"--kube-api-qps=200", "--kube-api-burst=400",
	"--webhook-bind-address=:9443", "--webhook-name=" + theWebhook, "--webhook-unknown-session=Refuse",
}

// reduceArgs removes from the chart's command line what is a default, and the order of both.
func reduceArgs(config, chart byKey) bool {
	found := false
	for _, objects := range []byKey{config, chart} {
		args := slices.Clone(managerContainer(objects)["args"].([]any))
		args = slices.DeleteFunc(args, func(arg any) bool {
			isDefault := slices.Contains(defaultArgs, arg.(string))
			found = found || isDefault
			return isDefault
		})
		slices.SortFunc(args, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		managerContainer(objects)["args"] = args
		ports := managerContainer(objects)["ports"].([]any)
		slices.SortFunc(ports, func(a, b any) int {
			return strings.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
		})
	}
	return found
}

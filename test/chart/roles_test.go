// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const fullName = release + "-coder-session-operator"

// With namespaces, each has a Role with the rules of config/rbac/role.yaml that a Role can have,
// and nothing is for the whole cluster.
func TestRolesInNamespaces(t *testing.T) {
	t.Parallel()
	want := &rbacv1.ClusterRole{}
	convertTo(t, readManifest(t, "config", "rbac", "role.yaml"), want)
	objects := renderChart(t, "operators", strings.Replace(nothingClusterWide, "[default]", "[a, b]", 1))
	roles := ofKind(objects, "Role")
	if got, want := sortedNames(roles), []string{
		"a/" + fullName, "b/" + fullName, "operators/" + fullName + "-leader-election",
	}; !cmp.Equal(got, want) {
		t.Errorf("Roles %q, want %q", got, want)
	}
	if got, want := sortedNames(ofKind(objects, "RoleBinding")), sortedNames(roles); !cmp.Equal(got, want) {
		t.Errorf("RoleBindings %q, want %q", got, want)
	}
	for _, namespace := range []string{"a", "b"} {
		role := &rbacv1.Role{}
		convertTo(t, roles[namespace+"/"+fullName], role)
		if diff := cmp.Diff(ofNamespaces(want.Rules), role.Rules); diff != "" {
			t.Errorf("(-config +chart):\n%s", diff)
		}
	}
	for _, object := range objects {
		if object.GetNamespace() == "" {
			t.Errorf("%s %s is for the whole cluster", object.GetKind(), object.GetName())
		}
	}
}

// ofCluster are resources of which a Role says nothing: they belong to no namespace, or are read together
// with such.
var ofCluster = []string{"namespaces", "resourcequotas"}

// ofNamespaces are the rules that have a meaning in a Role.
func ofNamespaces(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var left []rbacv1.PolicyRule
	for _, rule := range rules {
		if slices.Contains(rule.APIGroups, admissionregistrationv1.GroupName) {
			continue
		}
		rule.Resources = slices.DeleteFunc(slices.Clone(rule.Resources), func(name string) bool {
			return slices.Contains(ofCluster, name)
		})
		if len(rule.Resources) > 0 {
			left = append(left, rule)
		}
	}
	return left
}

func sortedNames(objects map[string]*unstructured.Unstructured) []string {
	return slices.Sorted(maps.Keys(objects))
}

// With rbac.create=false, the operator's service account gets no rights. The roles for people are
// not affected.
func TestNoRoles(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]string{
		"all namespaces":  "{rbac: {create: false}}",
		"some namespaces": "{rbac: {create: false}, watchNamespaces: [a], clusterId: prod0001}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := renderChart(t, "operators", values)
			for _, kind := range []string{"Role", "RoleBinding", "ClusterRoleBinding"} {
				if found := ofKind(objects, kind); len(found) > 0 {
					t.Errorf("%s %q", kind, sortedNames(found))
				}
			}
			for _, role := range sortedNames(ofKind(objects, "ClusterRole")) {
				if !strings.HasSuffix(role, "-editor") && !strings.HasSuffix(role, "-viewer") {
					t.Errorf("ClusterRole %s", role)
				}
			}
		})
	}
}

// ruleStart is the first line of a rule.
var ruleStart = regexp.MustCompile(`^- (apiGroups|nonResourceURLs):`)

// The manifests say why the operator has each of its rights.
func TestEachRuleHasItsReason(t *testing.T) {
	t.Parallel()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for name, set := range valueSets {
		text, err := runHelm(t, set.values, "template", release, chartFolder)
		if err != nil {
			t.Fatal(err)
		}
		texts["chart, "+name] = text
	}
	for _, pattern := range []string{"config/rbac/*role.yaml", "config/webhook/role.yaml"} {
		paths, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, path := range paths {
			// Generated; its reasons are those of the chart.
			if filepath.Base(path) == "role.yaml" && filepath.Base(filepath.Dir(path)) == "rbac" {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(text)
		}
	}
	for of, text := range texts {
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if !ruleStart.MatchString(line) {
				continue
			}
			if comment := strings.TrimSpace(lines[i-1]); !strings.HasPrefix(comment, "# ") || strings.HasSuffix(comment, ":") {
				t.Errorf("%s: line %d: no reason for\n%s", of, i+1, strings.Join(lines[i-1:min(i+6, len(lines))], "\n"))
			}
		}
	}
}

// Every reason belongs to a rule; otherwise it would be read as a right that the operator has.
func TestNoReasonWithoutARule(t *testing.T) {
	t.Parallel()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "config", "rbac", "reasons.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var reasons map[string]string
	if err := yaml.UnmarshalStrict(text, &reasons); err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	convertTo(t, readManifest(t, "config", "rbac", "role.yaml"), role)
	var want []string
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			key := strings.TrimSuffix(resource+"."+rule.APIGroups[0], ".")
			if len(rule.ResourceNames) > 0 {
				key += " named " + strings.Join(rule.ResourceNames, ",")
			}
			want = append(want, key)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(reasons))); diff != "" {
		t.Errorf("(-role.yaml +reasons.yaml):\n%s", diff)
	}
}

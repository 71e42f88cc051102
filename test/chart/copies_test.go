//go:build chart

package chart

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const fullName = release + "-coder-session-operator"

// The CRDs are those of config/crd/bases, and stay when the release goes.
func TestCRDs(t *testing.T) {
	t.Parallel()
	rendered := ofKind(render(t, "operators", ""), "CustomResourceDefinition")
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(folder, "config", "crd", "bases", "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no CRDs in config/crd/bases: %v", err)
	}
	if len(rendered) != len(paths) {
		t.Errorf("config/crd/bases has %d CRDs, the chart %d", len(paths), len(rendered))
	}
	for _, path := range paths {
		want := file(t, "config", "crd", "bases", filepath.Base(path))
		got := rendered["/"+want.GetName()]
		if got == nil {
			t.Errorf("no %s", want.GetName())
			continue
		}
		annotations := got.GetAnnotations()
		if annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s would be deleted with the release", want.GetName())
		}
		delete(annotations, "helm.sh/resource-policy")
		got.SetAnnotations(annotations)
		got.SetLabels(nil)
		if diff := cmp.Diff(want.Object, got.Object); diff != "" {
			t.Errorf("%s (-config +chart):\n%s", want.GetName(), diff)
		}
	}
	if left := ofKind(render(t, "operators", "{crds: {install: false}}"), "CustomResourceDefinition"); len(left) > 0 {
		t.Errorf("CRDs in spite of crds.install=false: %v", slices.Collect(maps.Keys(left)))
	}
}

// The rules are those of config/rbac/role.yaml.
func TestRules(t *testing.T) {
	t.Parallel()
	want := &rbacv1.ClusterRole{}
	convert(t, file(t, "config", "rbac", "role.yaml"), want)

	t.Run("all namespaces", func(t *testing.T) {
		t.Parallel()
		role := &rbacv1.ClusterRole{}
		object := ofKind(render(t, "operators", ""), "ClusterRole")["/"+fullName]
		if object == nil {
			t.Fatalf("no ClusterRole %s", fullName)
		}
		convert(t, object, role)
		if diff := cmp.Diff(want.Rules, role.Rules); diff != "" {
			t.Errorf("(-config +chart):\n%s", diff)
		}
	})

	t.Run("some namespaces", func(t *testing.T) {
		t.Parallel()
		values := "{watchNamespaces: [a, b], clusterId: prod0001, metrics: {secure: false}, crds: {install: false}}"
		objects := render(t, "operators", values)
		roles := ofKind(objects, "Role")
		if got, want := names(roles), []string{"a/" + fullName, "b/" + fullName, "operators/" + fullName + "-leader-election"}; !cmp.Equal(got, want) {
			t.Errorf("Roles %q, want %q", got, want)
		}
		if got, want := names(ofKind(objects, "RoleBinding")), names(roles); !cmp.Equal(got, want) {
			t.Errorf("RoleBindings %q, want %q", got, want)
		}
		for _, namespace := range []string{"a", "b"} {
			role := &rbacv1.Role{}
			convert(t, roles[namespace+"/"+fullName], role)
			if diff := cmp.Diff(withoutNamespaces(want.Rules), role.Rules); diff != "" {
				t.Errorf("(-config +chart):\n%s", diff)
			}
		}
		for _, object := range objects {
			if object.GetNamespace() == "" {
				t.Errorf("%s %s is for the whole cluster", object.GetKind(), object.GetName())
			}
		}
	})
}

// withoutNamespaces are the rules that have a meaning in a Role.
func withoutNamespaces(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var left []rbacv1.PolicyRule
	for _, rule := range rules {
		rule.Resources = slices.DeleteFunc(slices.Clone(rule.Resources), func(name string) bool { return name == "namespaces" })
		if len(rule.Resources) > 0 {
			left = append(left, rule)
		}
	}
	return left
}

func names(objects map[string]*unstructured.Unstructured) []string {
	return slices.Sorted(maps.Keys(objects))
}

// config has further roles, which are written by hand here and there.
func TestRolesForPeopleAndMetrics(t *testing.T) {
	t.Parallel()
	roles := ofKind(render(t, "operators", ""), "ClusterRole")
	for _, name := range []string{
		"coderdeployment_editor", "coderdeployment_viewer", "codersession_editor", "codersession_viewer",
		"metrics_auth", "metrics_reader",
	} {
		want, got := &rbacv1.ClusterRole{}, &rbacv1.ClusterRole{}
		convert(t, file(t, "config", "rbac", name+"_role.yaml"), want)
		object := roles["/"+release+"-"+want.Name]
		if object == nil {
			t.Errorf("no ClusterRole %s-%s", release, want.Name)
			continue
		}
		convert(t, object, got)
		if diff := cmp.Diff(want.Rules, got.Rules); diff != "" {
			t.Errorf("%s (-config +chart):\n%s", name, diff)
		}
		for key, value := range want.Labels {
			if got.Labels[key] != value {
				t.Errorf("%s: no label %s=%s: %v", name, key, value, got.Labels)
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// installation is a Deployment of the operator, and what its command line says.
type installation struct {
	deployment *appsv1.Deployment
	image      string
	flags      map[string]string // the last value of each
}

// installedLabels are on all that the Helm chart and config/default install, whatever the release is called.
var installedLabels = labels.Set{"app.kubernetes.io/part-of": "coder-session-operator"}

// newInstallation returns nil for a Deployment that does not run the operator.
func newInstallation(d *appsv1.Deployment) *installation {
	for i := range d.Spec.Template.Spec.Containers {
		container := &d.Spec.Template.Spec.Containers[i]
		if container.Name != "manager" {
			continue
		}
		found := &installation{deployment: d, image: container.Image, flags: map[string]string{}}
		for _, arg := range container.Args {
			name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			if !hasValue {
				value = "true"
			}
			found.flags[name] = value
		}
		return found
	}
	return nil
}

// name is namespace and name of the Deployment.
func (i *installation) name() string { return fullName(i.deployment) }

// accountGroups are the groups of its service account.
func (i *installation) accountGroups() []string {
	return []string{"system:serviceaccounts", "system:serviceaccounts:" + i.deployment.Namespace, "system:authenticated"}
}

// hasFlag reports whether a flag for something that can be switched on is set.
func (i *installation) hasFlag(name string) bool {
	return i.flags[name] != "" && i.flags[name] != "false"
}

// watchedNamespaces are the namespaces that it works in; nil: all.
func (i *installation) watchedNamespaces() []string {
	if i.flags["watch-namespaces"] == "" {
		return nil
	}
	return strings.Split(i.flags["watch-namespaces"], ",")
}

// account is the user name of its service account.
func (i *installation) account() string {
	name := i.deployment.Spec.Template.Spec.ServiceAccountName
	if name == "" {
		name = "default"
	}
	return "system:serviceaccount:" + i.deployment.Namespace + ":" + name
}

// overlaps reports whether two operators work on the same objects. Label selectors are compared as
// text, unless one of them selects everything.
func (i *installation) overlaps(other *installation) bool {
	a, b := i.watchedNamespaces(), other.watchedNamespaces()
	sharesNamespace := a == nil || b == nil ||
		slices.ContainsFunc(a, func(namespace string) bool { return slices.Contains(b, namespace) })
	mine, theirs := i.flags["watch-label-selector"], other.flags["watch-label-selector"]
	return sharesNamespace && (mine == "" || theirs == "" || mine == theirs)
}

const operatorTopic = "Operator"

// checkOperators finds the operator, and others that are in its way.
func (r *checkup) checkOperators(ctx context.Context) {
	found, everywhere, err := r.listInstallations(ctx)
	if err != nil {
		r.notChecked(operatorTopic, "its Deployments cannot be listed: %v", err)
		return
	}
	r.operator = r.chooseInstallation(found)
	if r.operator == nil {
		where := "in this cluster"
		if !everywhere || len(found) > 0 {
			where = "in namespace " + r.options.operatorNamespace
		}
		r.problem(operatorTopic, "no Deployment of the operator was found "+where,
			"install the operator, or name its namespace with --operator-namespace")
		return
	}
	r.checkReplicas()
	if !everywhere {
		r.notChecked("Other operators", "you may not list Deployments in all namespaces")
		return
	}
	r.checkOtherOperators(found)
}

// listInstallations lists the operators of all namespaces, or of the operator's namespace if the
// caller may not.
func (r *checkup) listInstallations(ctx context.Context) (found []*installation, everywhere bool, err error) {
	kind := objectKind[*appsv1.Deployment]{"Deployment", func() client.ObjectList { return &appsv1.DeploymentList{} }}
	list := func(namespace string) ([]*appsv1.Deployment, error) {
		options := selectNamespace(namespace)
		options.LabelSelector = labels.SelectorFromSet(installedLabels)
		all, _, err := kind.listAll(ctx, r.cluster.client, options)
		return all, err
	}
	all, err := list("")
	everywhere = err == nil
	if apierrors.IsForbidden(err) {
		all, err = list(r.options.operatorNamespace)
	}
	for _, d := range all {
		if i := newInstallation(d); i != nil {
			found = append(found, i)
		}
	}
	return found, everywhere, err
}

// chooseInstallation returns the operator of the operator's namespace, or the only one there is.
func (r *checkup) chooseInstallation(found []*installation) *installation {
	for _, i := range found {
		if i.deployment.Namespace == r.options.operatorNamespace {
			return i
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return nil
}

func (r *checkup) checkReplicas() {
	d := r.operator.deployment
	switch {
	case d.Spec.Replicas != nil && *d.Spec.Replicas == 0:
		r.problem(operatorTopic,
			fmt.Sprintf("Deployment %s has no replicas: nothing is renewed or revoked", r.operator.name()),
			fmt.Sprintf("kubectl scale -n %s deployment/%s --replicas=2", d.Namespace, d.Name))
	case d.Status.AvailableReplicas == 0:
		r.problem(operatorTopic, fmt.Sprintf("no replica of Deployment %s is available", r.operator.name()),
			fmt.Sprintf("see why: kubectl -n %s describe deployment/%s, kubectl -n %s logs deployment/%s",
				d.Namespace, d.Name, d.Namespace, d.Name))
	default:
		r.ok(operatorTopic, "Deployment %s runs image %s with %s available; this plugin is %s", r.operator.name(),
			r.operator.image, formatCount(int(d.Status.AvailableReplicas), "replica"), r.env.Version)
	}
	if watched := r.operator.watchedNamespaces(); watched != nil && !r.options.all &&
		!slices.Contains(watched, r.cluster.namespace) {
		r.problem(operatorTopic, fmt.Sprintf("the operator does not work in namespace %s, but in %s", r.cluster.namespace,
			strings.Join(watched, ", ")), "add the namespace to watchNamespaces, or name another one with -n")
	}
}

func (r *checkup) checkOtherOperators(found []*installation) {
	const topic = "Other operators"
	alone := true
	for _, other := range found {
		if other.name() == r.operator.name() {
			continue
		}
		id := r.operator.flags["cluster-id"]
		switch {
		case r.operator.overlaps(other):
			alone = false
			r.problem(topic, fmt.Sprintf("Deployments %s and %s work on the same objects: each undoes what the other one does",
				r.operator.name(), other.name()),
				"remove one of them, or give them different namespaces or label selectors (watchNamespaces, "+
					"watchLabelSelector) and cluster ids")
		case id != "" && id == other.flags["cluster-id"]:
			alone = false
			r.problem(topic, fmt.Sprintf("Deployments %s and %s have the same cluster id %s: each revokes the tokens of the "+
				"other one", r.operator.name(), other.name(), id), "give one of them another clusterId")
		}
	}
	if alone {
		r.ok(topic, "no other operator works on the same objects")
	}
}

// scopeProblem says why the operator does not look at an object, by its labels. Empty: it does.
func (i *installation) scopeProblem(object client.Object) string {
	selector, err := labels.Parse(i.flags["watch-label-selector"])
	if err != nil || selector.Matches(labels.Set(object.GetLabels())) {
		return ""
	}
	return fmt.Sprintf("the operator looks only at objects with labels that %q selects", i.flags["watch-label-selector"])
}

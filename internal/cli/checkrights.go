// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// right is the right to do something with a resource.
type right struct {
	group, resource string
	verbs           []string
	// why is what the caller needs it for.
	why string
}

// callerRights are what the commands of the plugin need.
var callerRights = []right{
	{v1alpha1.GroupVersion.Group, "coderdeployments", []string{"list", "watch"}, "status"},
	{v1alpha1.GroupVersion.Group, "codersessions", []string{"list", "watch"}, "status"},
	{v1alpha1.GroupVersion.Group, "codersessions", []string{"create", "patch"}, "renew, pause and making sessions"},
}

// operatorRights are what the operator needs in each namespace that it works in, as config/rbac/role.yaml
// says: without what it needs for its webhook, its policies and restarts only.
var operatorRights = []right{
	{"", "configmaps", []string{"get", "list", "watch"}, ""},
	{"", "secrets", []string{"create", "delete", "get", "list", "update", "watch"}, ""},
	{"events.k8s.io", "events", []string{"create", "patch"}, ""},
	{v1alpha1.GroupVersion.Group, "coderdeployments", []string{"get", "list", "patch", "watch"}, ""},
	{v1alpha1.GroupVersion.Group, "coderdeployments/status", []string{"patch"}, ""},
	{v1alpha1.GroupVersion.Group, "codersessions", []string{"get", "list", "patch", "watch"}, ""},
	{v1alpha1.GroupVersion.Group, "codersessions/status", []string{"patch"}, ""},
	{v1alpha1.GroupVersion.Group, "codersessions/finalizers", []string{"update"}, ""},
}

// podRights are what it needs besides for sessions of single pods, as config/webhook/pods_role.yaml says.
var podRights = []right{
	{"", "pods", []string{"list", "watch"}, ""},
	{v1alpha1.GroupVersion.Group, "codersessions", []string{"create", "delete"}, ""},
}

// attributes are what the API server is asked about a right; an empty namespace stands for all.
func (g right) attributes(namespace, verb string) *authorizationv1.ResourceAttributes {
	resource, subresource, _ := strings.Cut(g.resource, "/")
	return &authorizationv1.ResourceAttributes{
		Namespace: namespace, Group: g.group, Resource: resource, Subresource: subresource, Verb: verb,
	}
}

// resourceName is the name as kubectl auth can-i takes it.
func (g right) resourceName() string { return strings.TrimSuffix(g.resource+"."+g.group, ".") }

// checkRights checks what the caller may do.
func (r *checkup) checkRights(ctx context.Context) {
	const topic = "Your rights"
	complete := true
	for _, needed := range callerRights {
		lacking, err := lackingVerbs(needed, func(verb string) (client.Object, *authorizationv1.SubjectAccessReviewStatus) {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: needed.attributes(r.namespace(), verb)}}
			return review, &review.Status
		}, func(review client.Object) error { return r.cluster.client.Create(ctx, review) })
		switch {
		case err != nil:
			r.notChecked(topic, "the API server does not say what you may do: %v", err)
			return
		case len(lacking) > 0:
			complete = false
			r.warn(topic, fmt.Sprintf("you may not %s %s %s, which %s needs", strings.Join(lacking, " or "),
				needed.resourceName(), inNamespace(r.namespace()), needed.why),
				"have a role bound, such as the cluster's edit or view")
		}
	}
	if complete {
		r.ok(topic, "you may list and change sessions %s", inNamespace(r.namespace()))
	}
}

func inNamespace(namespace string) string {
	if namespace == "" {
		return "in all namespaces"
	}
	return "in namespace " + namespace
}

// checkOperatorRights checks what the operator's account may do.
func (r *checkup) checkOperatorRights(ctx context.Context) {
	const topic = "The operator's rights"
	if r.operator == nil {
		r.notChecked(topic, "no operator was found")
		return
	}
	namespace := r.namespace()
	if watched := r.operator.watchedNamespaces(); namespace == "" && watched != nil {
		namespace = watched[0]
	}
	rights := operatorRights
	if r.operator.hasFlag("pod-sessions") {
		rights = slices.Concat(rights, podRights)
	}
	good := true
	for _, needed := range rights {
		lacking, err := lackingVerbs(needed, func(verb string) (client.Object, *authorizationv1.SubjectAccessReviewStatus) {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: r.operator.account(), Groups: r.operator.accountGroups(),
				ResourceAttributes: needed.attributes(namespace, verb)}}
			return review, &review.Status
		}, func(review client.Object) error { return r.cluster.client.Create(ctx, review) })
		switch {
		case apierrors.IsForbidden(err):
			r.notChecked(topic, "you may not create SubjectAccessReviews, with which the API server is asked")
			return
		case err != nil:
			r.notChecked(topic, "the API server does not say what the operator may do: %v", err)
			return
		case len(lacking) > 0:
			good = false
			r.problem(topic, fmt.Sprintf("%s may not %s %s %s", r.operator.account(), strings.Join(lacking, ", "),
				needed.resourceName(), inNamespace(namespace)),
				"bind the operator's role to that account again: rbac.create in the chart, or config/rbac")
		}
	}
	if good {
		r.ok(topic, "%s may do what it needs to %s", r.operator.account(), inNamespace(namespace))
	}
}

// lackingVerbs asks about each verb of a right, and returns those that are not allowed.
func lackingVerbs(
	needed right, newReview func(verb string) (client.Object, *authorizationv1.SubjectAccessReviewStatus),
	ask func(client.Object) error,
) (lacking []string, err error) {
	for _, verb := range needed.verbs {
		review, status := newReview(verb)
		if err := ask(review); err != nil {
			return nil, err
		}
		if !status.Allowed {
			lacking = append(lacking, verb)
		}
	}
	return lacking, nil
}

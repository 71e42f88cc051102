// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// scope says which namespaces were requested and which could be listed.
type scope struct {
	// own is the requested namespace; empty: all.
	own string
	// sessions and deployments are the namespaces that were listed; an empty string stands for all.
	sessions, deployments []string
	// notes say what could not be listed (B92); incomplete, that some of it is in the own
	// namespace.
	notes      []string
	incomplete bool
}

// clusterSnapshot has the listed objects.
type clusterSnapshot struct {
	sessions    map[types.NamespacedName]*v1alpha1.CoderSession
	deployments map[types.NamespacedName]*v1alpha1.CoderDeployment
}

// fetch lists the deployments and sessions with two requests (and their pages), if the caller may
// list all namespaces. Sessions of other namespaces are included because they may use a deployment
// of the own namespace.
func (c *cluster) fetch(ctx context.Context, own string) (*scope, *clusterSnapshot, error) {
	s := &scope{own: own}
	snapshot := &clusterSnapshot{
		sessions:    map[types.NamespacedName]*v1alpha1.CoderSession{},
		deployments: map[types.NamespacedName]*v1alpha1.CoderDeployment{},
	}
	var err error
	if s.sessions, err = listVisible(ctx, c, s, sessionKind, snapshot.sessions); err != nil {
		return nil, nil, err
	}
	if s.deployments, err = listVisible(ctx, c, s, deploymentKind, snapshot.deployments); err != nil {
		return nil, nil, err
	}
	if len(s.sessions) == 0 && len(s.deployments) == 0 {
		return nil, nil, newExitError(
			ExitIncomplete, "you may list neither sessions nor deployments in namespace %q: name another one with -n",
			own)
	}
	if s.coversDeployments("") {
		return s, snapshot, nil
	}
	return s, snapshot, c.fetchReferenced(ctx, s, snapshot)
}

// requireNamespace returns an error if nothing was found because the namespace does not exist. It is
// asked only then; without the right to read namespaces it counts as existing.
func (c *cluster) requireNamespace(ctx context.Context, own string, snapshot *clusterSnapshot) error {
	inOwn := func(key types.NamespacedName) bool { return key.Namespace == own }
	if own == "" || slices.ContainsFunc(slices.Collect(maps.Keys(snapshot.sessions)), inOwn) ||
		slices.ContainsFunc(slices.Collect(maps.Keys(snapshot.deployments)), inOwn) {
		return nil
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := c.client.Get(ctx, types.NamespacedName{Name: own}, namespace); apierrors.IsNotFound(err) {
		return newExitError(ExitIncomplete, "namespace %q does not exist: name another one with -n, or look everywhere "+
			"with -A", own)
	}
	return nil
}

// listVisible lists a kind in all namespaces, or in the own namespace if the caller may not. It
// returns the namespaces that were listed.
func listVisible[T client.Object](
	ctx context.Context, c *cluster, s *scope, kind objectKind[T], into map[types.NamespacedName]T,
) ([]string, error) {
	err := listInto(ctx, c, kind, "", into)
	if err == nil {
		return []string{""}, nil
	}
	if !apierrors.IsForbidden(err) || s.own == "" {
		return nil, listError(kind.noun, err)
	}
	if kind.noun == sessionKind.noun { // the deployments that the sessions refer to are listed by fetchReferenced
		s.notes = append(s.notes, "Not looked at: sessions of other namespaces, since you may not list them in all")
	}
	switch err := listInto(ctx, c, kind, s.own, into); {
	case apierrors.IsForbidden(err):
		s.incomplete = true
		s.notes = append(s.notes, "Not looked at: "+kind.noun+"s of namespace "+s.own+", which you may not list")
		return nil, nil
	case err != nil:
		return nil, listError(kind.noun, err)
	}
	return []string{s.own}, nil
}

// fetchReferenced lists the deployments in the other namespaces that the sessions refer to, one
// namespace at a time.
func (c *cluster) fetchReferenced(ctx context.Context, s *scope, snapshot *clusterSnapshot) error {
	others := map[string]bool{}
	for _, session := range snapshot.sessions {
		if namespace := session.DeploymentKey().Namespace; session.Namespace == s.own && namespace != s.own {
			others[namespace] = true
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(others)) {
		switch err := listInto(ctx, c, deploymentKind, namespace, snapshot.deployments); {
		case apierrors.IsForbidden(err):
			s.notes = append(s.notes, "Not looked at: deployments of namespace "+namespace+", which you may not list")
		case err != nil:
			return listError(deploymentKind.noun, err)
		default:
			s.deployments = append(s.deployments, namespace)
		}
	}
	return nil
}

func listInto[T client.Object](
	ctx context.Context, c *cluster, kind objectKind[T], namespace string, into map[types.NamespacedName]T,
) error {
	found, _, err := kind.listAll(ctx, c.client, selectNamespace(namespace))
	for _, object := range found {
		into[client.ObjectKeyFromObject(object)] = object
	}
	return err
}

// listError wraps an error of listing a kind.
func listError(noun string, err error) error {
	if apierrors.IsForbidden(err) {
		return newExitError(ExitIncomplete,
			"you may not list %ss in all namespaces: leave out -A, and name one with -n", noun)
	}
	if apierrors.IsNotFound(err) {
		return newExitError(ExitIncomplete, "%w", readError(noun, err))
	}
	return newExitError(ExitIncomplete, "cannot list the %ss: %w", noun, err)
}

// coversSessions and coversDeployments report whether a namespace was listed. The empty one stands
// for all.
func (s *scope) coversSessions(namespace string) bool {
	return containsNamespace(s.sessions, namespace)
}

func (s *scope) coversDeployments(namespace string) bool {
	return containsNamespace(s.deployments, namespace)
}

func containsNamespace(listed []string, namespace string) bool {
	return slices.ContainsFunc(listed, func(l string) bool { return l == "" || l == namespace })
}

// compareKeys orders by namespace and name.
func compareKeys(a, b types.NamespacedName) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

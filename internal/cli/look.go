// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// scope says what was looked at, as far as the caller may.
type scope struct {
	// own is the namespace that is asked about; empty: all.
	own string
	// sessions and deployments are the namespaces that were listed; one that is empty: all.
	sessions, deployments []string
	// notes say what could not be looked at (B92), blind that some of the own namespace is among it.
	notes []string
	blind bool
}

// clusterSnapshot is what was seen.
type clusterSnapshot struct {
	sessions    map[types.NamespacedName]*v1alpha1.CoderSession
	deployments map[types.NamespacedName]*v1alpha1.CoderDeployment
}

// fetch lists what there is: two requests (and their pages) where the caller may list everything, whatever there is. Sessions of
// other namespaces belong to it, since they may use a deployment of this one.
func (c *cluster) fetch(ctx context.Context, own string) (*scope, *clusterSnapshot, error) {
	s := &scope{own: own}
	seen := &clusterSnapshot{
		sessions:    map[types.NamespacedName]*v1alpha1.CoderSession{},
		deployments: map[types.NamespacedName]*v1alpha1.CoderDeployment{},
	}
	var err error
	if s.sessions, err = gather(ctx, c, s, sessionKind, seen.sessions); err != nil {
		return nil, nil, err
	}
	if s.deployments, err = gather(ctx, c, s, deploymentKind, seen.deployments); err != nil {
		return nil, nil, err
	}
	if len(s.sessions) == 0 && len(s.deployments) == 0 {
		return nil, nil, exit(ExitUnseen, "you may list neither sessions nor deployments in namespace %q: name another one with -n", own)
	}
	if s.coversDeployments("") {
		return s, seen, nil
	}
	return s, seen, c.visit(ctx, s, seen)
}

// gather lists a kind in all namespaces, or in the own one where the caller may not. It returns the namespaces listed.
func gather[T client.Object](ctx context.Context, c *cluster, s *scope, kind kind[T], into map[types.NamespacedName]T) ([]string, error) {
	err := collect(ctx, c, kind, "", into)
	if err == nil {
		return []string{""}, nil
	}
	if !apierrors.IsForbidden(err) || s.own == "" {
		return nil, unlisted(kind.noun, err)
	}
	if kind.noun == sessionKind.noun { // of deployments those that are wanted are looked for
		s.notes = append(s.notes, "Not looked at: sessions of other namespaces, since you may not list them in all")
	}
	switch err := collect(ctx, c, kind, s.own, into); {
	case apierrors.IsForbidden(err):
		s.blind = true
		s.notes = append(s.notes, "Not looked at: "+kind.noun+"s of namespace "+s.own+", which you may not list")
		return nil, nil
	case err != nil:
		return nil, unlisted(kind.noun, err)
	}
	return []string{s.own}, nil
}

// visit lists the deployments of the namespaces that sessions refer to, one by one.
func (c *cluster) visit(ctx context.Context, s *scope, seen *clusterSnapshot) error {
	others := map[string]bool{}
	for _, session := range seen.sessions {
		if namespace := session.DeploymentKey().Namespace; session.Namespace == s.own && namespace != s.own {
			others[namespace] = true
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(others)) {
		switch err := collect(ctx, c, deploymentKind, namespace, seen.deployments); {
		case apierrors.IsForbidden(err):
			s.notes = append(s.notes, "Not looked at: deployments of namespace "+namespace+", which you may not list")
		case err != nil:
			return unlisted(deploymentKind.noun, err)
		default:
			s.deployments = append(s.deployments, namespace)
		}
	}
	return nil
}

func collect[T client.Object](ctx context.Context, c *cluster, kind kind[T], namespace string, into map[types.NamespacedName]T) error {
	found, _, err := kind.read(ctx, c.client, within(namespace))
	for _, object := range found {
		into[client.ObjectKeyFromObject(object)] = object
	}
	return err
}

// unlisted is the error of what could not be listed at all.
func unlisted(noun string, err error) error {
	if apierrors.IsForbidden(err) {
		return exit(ExitUnseen, "you may not list %ss in all namespaces: leave out -A, and name one with -n", noun)
	}
	if apierrors.IsNotFound(err) {
		return exit(ExitUnseen, "%w", unread(noun, err))
	}
	return exit(ExitUnseen, "cannot list the %ss: %w", noun, err)
}

// coversSessions and coversDeployments report whether a namespace was listed. The empty one stands for all.
func (s *scope) coversSessions(namespace string) bool { return covers(s.sessions, namespace) }

func (s *scope) coversDeployments(namespace string) bool { return covers(s.deployments, namespace) }

func covers(listed []string, namespace string) bool {
	return slices.ContainsFunc(listed, func(l string) bool { return l == "" || l == namespace })
}

// compareKeys orders by namespace and name.
func compareKeys(a, b types.NamespacedName) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

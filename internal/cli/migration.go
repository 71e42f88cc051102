// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// annotationMigratedFrom on what migrate creates is the name of the flat Secret that it was made of, by which another run finds
// it.
const annotationMigratedFrom = "credentials.coder.com/migrated-from"

// migration is one run of migrate. Its methods are for one goroutine.
type migration struct {
	*connector
	cluster *cluster
	options migrateOptions

	// found are the flat Secrets, by namespace and name.
	found []flat
	moves []*move
	// faults is how many of them something is wrong with. It is said.
	faults int

	// What there is, and what this run adds to it.
	sessions    []*v1alpha1.CoderSession
	deployments []*v1alpha1.CoderDeployment
}

// move is what becomes of a flat Secret.
type move struct {
	flat
	deployment *v1alpha1.CoderDeployment
	session    *v1alpha1.CoderSession
	// makesDeployment and makesSession say that it is not there yet. A deployment is made by the first move that needs it.
	makesDeployment, makesSession bool
}

// fault says what is wrong with one of the Secrets. The others go on.
func (m *migration) fault(err error) {
	m.faults++
	m.out.printf("error: %v", err)
}

// find reads the Secrets.
func (m *migration) find(ctx context.Context) error {
	candidates, err := m.candidates(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(candidates, func(a, b *corev1.Secret) int {
		return strings.Compare(fullName(a), fullName(b))
	})
	for _, secret := range candidates {
		read, err := readFlat(secret)
		if err != nil {
			m.fault(err)
			continue
		}
		m.found = append(m.found, read)
	}
	if len(candidates) == 0 && m.faults == 0 {
		m.out.printf("No Secret has the keys url and session, or CODER_URL and CODER_SESSION_TOKEN. Look in another namespace with -n, or in all with -A.")
	}
	return nil
}

// candidates are the Secrets that are named, or those that have the keys.
func (m *migration) candidates(ctx context.Context) ([]*corev1.Secret, error) {
	if len(m.options.names) == 0 {
		all, _, err := secretKind.read(ctx, m.cluster.client, maybeFlat(m.namespace()))
		if err != nil {
			return nil, unread("Secrets", err)
		}
		return slices.DeleteFunc(all, func(s *corev1.Secret) bool { return !isFlat(s) }), nil
	}
	var named []*corev1.Secret
	for _, name := range slices.Compact(slices.Sorted(slices.Values(m.options.names))) {
		secret := &corev1.Secret{}
		switch err := m.cluster.client.Get(ctx, types.NamespacedName{Namespace: m.cluster.namespace, Name: name}, secret); {
		case apierrors.IsNotFound(err):
			m.fault(errors.New("the Secret " + m.cluster.namespace + "/" + name + " does not exist: name its namespace with -n"))
		case err != nil:
			return nil, unread("Secret", err)
		default:
			named = append(named, secret)
		}
	}
	return named, nil
}

// namespace is where to look; empty: everywhere.
func (m *migration) namespace() string {
	if m.options.all {
		return ""
	}
	return m.cluster.namespace
}

// plan decides what becomes of each Secret.
func (m *migration) plan(ctx context.Context) error {
	if len(m.found) == 0 {
		return nil
	}
	var err error
	if m.sessions, _, err = sessionKind.read(ctx, m.cluster.client, within(m.namespace())); err != nil {
		return unread("sessions", err)
	}
	if m.deployments, _, err = deploymentKind.read(ctx, m.cluster.client, within(m.namespace())); err != nil {
		return unread("deployments", err)
	}
	for _, f := range m.found {
		next, err := m.move(ctx, f)
		if err != nil {
			m.fault(err)
			continue
		}
		m.moves = append(m.moves, next)
	}
	return nil
}

// move decides what becomes of one Secret.
func (m *migration) move(ctx context.Context, f flat) (*move, error) {
	if session := m.sessionOf(f); session != nil {
		return m.known(f, session)
	}
	next := &move{flat: f, makesSession: true}
	name, err := m.freeName(ctx, f.secret.Namespace, f.secret.Name+"-session")
	if err != nil {
		return nil, err
	}
	next.deployment, next.makesDeployment = m.deploymentFor(f)
	next.session = newSession(f, name, next.deployment.Name)
	m.sessions = append(m.sessions, next.session)
	return next, nil
}

// sessionOf is the session that a Secret was migrated to, or that reads it.
func (m *migration) sessionOf(f flat) *v1alpha1.CoderSession {
	index := slices.IndexFunc(m.sessions, func(s *v1alpha1.CoderSession) bool {
		return s.Namespace == f.secret.Namespace && (s.Annotations[annotationMigratedFrom] == f.secret.Name || reads(s, f.secret.Name))
	})
	if index < 0 {
		return nil
	}
	return m.sessions[index]
}

// reads reports whether a session has its token from a Secret.
func reads(s *v1alpha1.CoderSession, secret string) bool {
	return s.Spec.Auth.Token != nil && string(s.Spec.Auth.Token.SecretRef.Name) == secret
}

// known is the move of a Secret that has a session. Its deployment may be gone, or in a namespace that was not looked at.
func (m *migration) known(f flat, session *v1alpha1.CoderSession) (*move, error) {
	if !session.DeletionTimestamp.IsZero() {
		return nil, errors.New("session " + fullName(session) + ", which was made of Secret " + fullName(f.secret) + ", is being deleted: run this again when it is gone")
	}
	next := &move{flat: f, session: session}
	key := session.DeploymentKey()
	for _, d := range m.deployments {
		if d.Namespace == key.Namespace && d.Name == key.Name {
			next.deployment = d
		}
	}
	switch {
	case next.deployment != nil && !sameServer(next.deployment, f.server):
		return nil, errors.New("the Secret " + fullName(f.secret) + " names another server than deployment " + key.String() + " of session " +
			fullName(session) + ", which was made of it: correct one of them")
	case next.deployment == nil && key.Namespace == f.secret.Namespace:
		// It was deleted, or never there: the session waits for one of that name.
		next.deployment, next.makesDeployment = newDeployment(f, key.Name), true
		m.deployments = append(m.deployments, next.deployment)
	}
	return next, nil
}

// deploymentFor is a deployment of the namespace for the server, and whether it is still to be made.
func (m *migration) deploymentFor(f flat) (*v1alpha1.CoderDeployment, bool) {
	taken := map[string]bool{}
	for _, d := range m.deployments {
		if d.Namespace != f.secret.Namespace {
			continue
		}
		taken[d.Name] = true
		if sameServer(d, f.server) && d.DeletionTimestamp.IsZero() {
			return d, false
		}
	}
	base, name := deploymentName(f.server), deploymentName(f.server)
	for n := 2; taken[name]; n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	next := newDeployment(f, name)
	m.deployments = append(m.deployments, next)
	return next, true
}

func sameServer(d *v1alpha1.CoderDeployment, server string) bool {
	theirs, err := serverOf(d.Spec.URL)
	return err == nil && theirs == server
}

// freeName is a name for a session and the Secret that it generates, which neither a session nor a Secret has.
func (m *migration) freeName(ctx context.Context, namespace, base string) (string, error) {
	base = shortened(base)
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name = base + "-" + strconv.Itoa(n)
		}
		if slices.ContainsFunc(m.sessions, func(s *v1alpha1.CoderSession) bool {
			return s.Namespace == namespace && (s.Name == name || s.SecretName() == name)
		}) {
			continue
		}
		meta := &metav1.PartialObjectMetadata{}
		meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		switch err := m.cluster.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, meta); {
		case apierrors.IsNotFound(err):
			return name, nil
		case err != nil:
			return "", errors.New("look whether the name " + namespace + "/" + name + " is free: " + err.Error())
		}
	}
}

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

// annotationMigratedFrom is the name of the flat Secret that an object was created from. The next
// run finds the object by it.
const annotationMigratedFrom = "credentials.coder.com/migrated-from"

// migration is one run of migrate. It is not safe for concurrent use.
type migration struct {
	*connector
	cluster *cluster
	options migrateOptions

	// secrets are the flat Secrets, ordered by namespace and name.
	secrets []flatSecret
	moves   []*move
	// errorCount is the number of errors that were printed.
	errorCount int

	// The existing objects, and those that this run adds.
	sessions    []*v1alpha1.CoderSession
	deployments []*v1alpha1.CoderDeployment
}

// move is the plan for one flat Secret.
type move struct {
	flatSecret
	deployment *v1alpha1.CoderDeployment
	session    *v1alpha1.CoderSession
	// makesDeployment and makesSession say that it does not exist yet. Only the first move that
	// needs a new deployment creates it.
	makesDeployment, makesSession bool
}

// reportError prints an error with one of the Secrets. The others are not affected.
func (m *migration) reportError(err error) {
	m.errorCount++
	m.out.printErrf("error: %v", err)
}

// findSecrets reads and parses the flat Secrets.
func (m *migration) findSecrets(ctx context.Context) error {
	candidates, err := m.readCandidates(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(candidates, func(a, b *corev1.Secret) int {
		return strings.Compare(fullName(a), fullName(b))
	})
	for _, secret := range candidates {
		read, err := parseFlatSecret(secret)
		if err != nil {
			m.reportError(err)
			continue
		}
		m.secrets = append(m.secrets, read)
	}
	if m.errorCount > 0 && len(m.options.names) == 0 {
		m.out.printErrf("If some of these are not for Coder, name the Secrets to migrate: kubectl coder migrate SECRET...")
	}
	if len(candidates) == 0 && m.errorCount == 0 {
		m.out.printErrf("No Secret has the keys url and session, or CODER_URL and CODER_SESSION_TOKEN. Look in " +
			"another namespace with -n, or in all with -A.")
	}
	return nil
}

// readCandidates returns the Secrets that are named on the command line, or else those that have
// the keys.
func (m *migration) readCandidates(ctx context.Context) ([]*corev1.Secret, error) {
	if len(m.options.names) == 0 {
		all, _, err := secretKind.listAll(ctx, m.cluster.client, selectFlatCandidates(m.searchNamespace()))
		if err != nil {
			return nil, readError("Secrets", err)
		}
		return slices.DeleteFunc(all, func(s *corev1.Secret) bool { return !isFlat(s) }), nil
	}
	var named []*corev1.Secret
	for _, name := range slices.Compact(slices.Sorted(slices.Values(m.options.names))) {
		secret := &corev1.Secret{}
		switch err := m.cluster.client.Get(
			ctx, types.NamespacedName{Namespace: m.cluster.namespace, Name: name}, secret); {
		case apierrors.IsNotFound(err):
			m.reportError(errors.New("the Secret " + m.cluster.namespace + "/" + name +
				" does not exist: name its namespace with -n"))
		case err != nil:
			return nil, readError("Secret", err)
		default:
			named = append(named, secret)
		}
	}
	return named, nil
}

// searchNamespace is the namespace to search; empty: all.
func (m *migration) searchNamespace() string {
	if m.options.all {
		return ""
	}
	return m.cluster.namespace
}

// planMoves plans the migration of all Secrets.
func (m *migration) planMoves(ctx context.Context) error {
	if len(m.secrets) == 0 {
		return nil
	}
	var err error
	if m.sessions, _, err = sessionKind.listAll(
		ctx, m.cluster.client, selectNamespace(m.searchNamespace())); err != nil {
		return readError("sessions", err)
	}
	if m.deployments, _, err = deploymentKind.listAll(
		ctx, m.cluster.client, selectNamespace(m.searchNamespace())); err != nil {
		return readError("deployments", err)
	}
	for _, f := range m.secrets {
		next, err := m.planMove(ctx, f)
		if err != nil {
			m.reportError(err)
			continue
		}
		m.moves = append(m.moves, next)
	}
	return nil
}

// planMove plans the migration of one Secret.
func (m *migration) planMove(ctx context.Context, f flatSecret) (*move, error) {
	if session := m.findSession(f); session != nil {
		return m.planExistingSession(f, session)
	}
	next := &move{flatSecret: f, makesSession: true}
	name, err := m.findFreeName(ctx, f.secret.Namespace, f.secret.Name+"-session")
	if err != nil {
		return nil, err
	}
	next.deployment, next.makesDeployment = m.deploymentFor(f)
	next.session = newSession(f, name, next.deployment.Name)
	m.sessions = append(m.sessions, next.session)
	return next, nil
}

// findSession returns the session that was created from the Secret, or that reads it.
func (m *migration) findSession(f flatSecret) *v1alpha1.CoderSession {
	index := slices.IndexFunc(m.sessions, func(s *v1alpha1.CoderSession) bool {
		return s.Namespace == f.secret.Namespace &&
			(s.Annotations[annotationMigratedFrom] == f.secret.Name || readsSecret(s, f.secret.Name))
	})
	if index < 0 {
		return nil
	}
	return m.sessions[index]
}

// readsSecret reports whether a session reads its token from the Secret.
func readsSecret(s *v1alpha1.CoderSession, secret string) bool {
	return s.Spec.Auth.Token != nil && string(s.Spec.Auth.Token.SecretRef.Name) == secret
}

// planExistingSession plans the migration of a Secret that has a session already. Its deployment
// may be missing, or in a namespace that was not listed.
func (m *migration) planExistingSession(f flatSecret, session *v1alpha1.CoderSession) (*move, error) {
	if !session.DeletionTimestamp.IsZero() {
		return nil, errors.New("session " + fullName(session) + ", which was made of Secret " + fullName(f.secret) +
			", is being deleted: run this again when it is gone")
	}
	next := &move{flatSecret: f, session: session}
	key := session.DeploymentKey()
	for _, d := range m.deployments {
		if d.Namespace == key.Namespace && d.Name == key.Name {
			next.deployment = d
		}
	}
	switch {
	case next.deployment != nil && !isForServer(next.deployment, f.server):
		return nil, errors.New("the Secret " + fullName(f.secret) + " names another server than deployment " +
			key.String() + " of session " +
			fullName(session) + ", which was made of it: correct one of them")
	case next.deployment == nil && key.Namespace == f.secret.Namespace:
		// The deployment was deleted or never created: the session waits for one of that name.
		next.deployment, next.makesDeployment = newDeployment(f, key.Name), true
		m.deployments = append(m.deployments, next.deployment)
	}
	return next, nil
}

// deploymentFor returns a deployment for the server in the Secret's namespace, preferably one that is
// Ready, and true if it does
// not exist yet.
func (m *migration) deploymentFor(f flatSecret) (*v1alpha1.CoderDeployment, bool) {
	var found *v1alpha1.CoderDeployment
	taken := map[string]bool{}
	for _, d := range m.deployments {
		if d.Namespace != f.secret.Namespace {
			continue
		}
		taken[d.Name] = true
		usable := isForServer(d, f.server) && d.DeletionTimestamp.IsZero()
		if usable && (found == nil || isDeploymentReady(d) && !isDeploymentReady(found)) {
			found = d
		}
	}
	if found != nil {
		return found, false
	}
	base, name := deploymentName(f.server), deploymentName(f.server)
	for n := 2; taken[name]; n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	next := newDeployment(f, name)
	m.deployments = append(m.deployments, next)
	return next, true
}

func isForServer(d *v1alpha1.CoderDeployment, server string) bool {
	theirs, err := serverURL(d.Spec.URL)
	return err == nil && theirs == server
}

// findFreeName returns a name that neither a session nor a generated Secret nor any other Secret
// has.
func (m *migration) findFreeName(ctx context.Context, namespace, base string) (string, error) {
	base = shortenName(base)
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

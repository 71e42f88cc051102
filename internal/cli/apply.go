// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// applyMoves creates the missing deployments and sessions, and with --prune deletes the old Secrets
// that nothing uses any more. An error with one Secret does not stop the others.
func (m *migration) applyMoves(ctx context.Context) error {
	for _, next := range m.moves {
		if err := m.createMissing(ctx, next); err != nil {
			m.reportError(fmt.Errorf("migrate Secret %s: %w", fullName(next.secret), err))
			continue
		}
		if !m.options.prune {
			namespace := next.session.Namespace
			m.out.printErrf("Switch what uses Secret %s to Secret %s/%s. See it get ready: "+
				"kubectl coder status -n %s %s",
				fullName(next.secret), namespace, next.session.SecretName(), namespace, next.session.Name)
			continue
		}
		if err := m.pruneSecret(ctx, next); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			m.reportError(fmt.Errorf("the Secret %s stays: %w", fullName(next.secret), err))
		}
	}
	return ctx.Err()
}

// createMissing creates the deployment and then the session. Either may have been created since it
// was looked for: nothing is overwritten then, and the next run finds it.
func (m *migration) createMissing(ctx context.Context, next *move) error {
	if next.makesDeployment {
		if err := m.createObject(ctx, deploymentKind.noun, next.deployment); err != nil {
			return err
		}
	}
	if !next.makesSession {
		m.out.printErrf("Secret %s: session %s is there already.", fullName(next.secret), fullName(next.session))
		return nil
	}
	if next.deployment.UID == "" {
		return fmt.Errorf("its deployment %s could not be created", fullName(next.deployment))
	}
	return m.createObject(ctx, sessionKind.noun, next.session)
}

func (m *migration) createObject(ctx context.Context, noun string, object client.Object) error {
	switch err := m.cluster.client.Create(ctx, object, fieldOwner); {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%s %s has just been created by another client: run this again", noun, fullName(object))
	case err != nil:
		return fmt.Errorf("create %s %s: %w", noun, fullName(object), err)
	}
	m.out.printOut(fmt.Sprintf("%s %s created", noun, fullName(object)))
	return nil
}

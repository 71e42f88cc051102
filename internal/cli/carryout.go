// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// carryOut creates what does not exist, and with --prune deletes the Secrets that are of no use any more. What goes wrong with one
// Secret does not hold up the others.
func (m *migration) carryOut(ctx context.Context) error {
	for _, next := range m.moves {
		if err := m.create(ctx, next); err != nil {
			m.fault(fmt.Errorf("migrate Secret %s: %w", fullName(next.secret), err))
			continue
		}
		if !m.options.prune {
			m.out.printf("Switch what uses Secret %s to Secret %s/%s. See it get ready: kubectl coder status -n %s %s",
				fullName(next.secret), next.session.Namespace, next.session.SecretName(), next.session.Namespace, next.session.Name)
			continue
		}
		if err := m.discard(ctx, next); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			m.fault(fmt.Errorf("the Secret %s stays: %w", fullName(next.secret), err))
		}
	}
	return ctx.Err()
}

// create makes the deployment and then the session. Either may have come into being since it was looked for: then nothing is
// overwritten, and another run looks again.
func (m *migration) create(ctx context.Context, next *move) error {
	if next.makesDeployment {
		if err := m.createOne(ctx, deploymentKind.noun, next.deployment); err != nil {
			return err
		}
	}
	if !next.makesSession {
		m.out.printf("Secret %s: session %s is there already.", fullName(next.secret), fullName(next.session))
		return nil
	}
	if next.deployment.UID == "" {
		return fmt.Errorf("its deployment %s could not be created", fullName(next.deployment))
	}
	return m.createOne(ctx, sessionKind.noun, next.session)
}

func (m *migration) createOne(ctx context.Context, noun string, object client.Object) error {
	switch err := m.cluster.client.Create(ctx, object, fieldOwner); {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%s %s was created by somebody else just now: run this again", noun, fullName(object))
	case err != nil:
		return fmt.Errorf("create %s %s: %w", noun, fullName(object), err)
	}
	m.out.println(fmt.Sprintf("%s %s created", noun, fullName(object)))
	return nil
}

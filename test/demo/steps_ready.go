// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// Sessions of config/samples.
const (
	mintedSession      = "ci"
	suppliedSession    = "supplied"
	certificateSession = "edge"
	oauthSession       = "ada"
	oauthSecret        = "ada-coder"
)

// workingSessions are those that need no person.
var workingSessions = []string{mintedSession, suppliedSession, certificateSession}

func (d *demo) showDeployment(ctx context.Context) error {
	took, err := walk.Await(ctx, "CoderDeployment prod is Ready (Verified)", d.deploymentIs(v1alpha1.ReasonVerified))
	if err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "get", "cdep", "-n", namespace); err != nil {
		return err
	}
	object, err := d.getDeployment(ctx)
	if err != nil {
		return err
	}
	if user := object.Status.User; user == nil || user.Username != operatorUser {
		return &walk.UnexpectedError{
			Expected: "the server knows the operator as user " + operatorUser, Seen: "another user, or none",
		}
	}
	d.term.Seen("Ready within %s: %s", walk.Brief(took), readyCondition(object.Status.Conditions).Message)
	return nil
}

func (d *demo) showSessions(ctx context.Context) error {
	for _, name := range workingSessions {
		if _, err := walk.Await(ctx, "CoderSession "+name+" is Ready (Active)",
			d.sessionIs(name, v1alpha1.ReasonActive)); err != nil {
			return err
		}
	}
	_, err := walk.Await(ctx, "CoderSession "+oauthSession+" waits for a person (AwaitingAuthorization)",
		d.sessionIs(oauthSession, v1alpha1.ReasonAwaitingAuthorization))
	if err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "get", "cses", "-n", namespace, "-o", "wide"); err != nil {
		return err
	}
	d.term.Seen("%s are Ready", strings.Join(workingSessions, ", "))
	d.term.Seen("%s waits for a person, and says what she has to do", oauthSession)
	return nil
}

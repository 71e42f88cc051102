package main

import (
	"context"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
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
	took, err := await(ctx, "CoderDeployment prod is Ready (Verified)", d.deploymentIs(v1alpha1.ReasonVerified))
	if err != nil {
		return err
	}
	if err := d.kubectl.show(ctx, "get", "cdep", "-n", namespace); err != nil {
		return err
	}
	object, err := d.deployment(ctx)
	if err != nil {
		return err
	}
	if user := object.Status.User; user == nil || user.Username != operatorUser {
		return &unexpectedError{expected: "the server knows the operator as user " + operatorUser, seen: "another user, or none"}
	}
	d.term.seen("Ready within %s: %s", brief(took), ready(object.Status.Conditions).Message)
	return nil
}

func (d *demo) showSessions(ctx context.Context) error {
	for _, name := range workingSessions {
		if _, err := await(ctx, "CoderSession "+name+" is Ready (Active)", d.sessionIs(name, v1alpha1.ReasonActive)); err != nil {
			return err
		}
	}
	_, err := await(ctx, "CoderSession "+oauthSession+" waits for a person (AwaitingAuthorization)",
		d.sessionIs(oauthSession, v1alpha1.ReasonAwaitingAuthorization))
	if err != nil {
		return err
	}
	if err := d.kubectl.show(ctx, "get", "cses", "-n", namespace, "-o", "wide"); err != nil {
		return err
	}
	d.term.seen("%s are Ready", strings.Join(workingSessions, ", "))
	d.term.seen("%s waits for a person, and says what she has to do", oauthSession)
	return nil
}

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
)

// workingSessions are those that this version can serve.
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
	_, err := await(ctx, "CoderSession "+oauthSession+" says that it cannot be served (ConfigInvalid)",
		d.sessionIs(oauthSession, v1alpha1.ReasonConfigInvalid))
	if err != nil {
		return err
	}
	if err := d.kubectl.show(ctx, "get", "cses", "-n", namespace, "-o", "wide"); err != nil {
		return err
	}
	refused, err := d.session(ctx, oauthSession)
	if err != nil {
		return err
	}
	if message := ready(refused.Status.Conditions).Message; !strings.Contains(message, "auth.oauth") {
		return &unexpectedError{expected: "the condition of " + oauthSession + " names auth.oauth", seen: message}
	}
	d.term.seen("%s are Ready", strings.Join(workingSessions, ", "))
	d.term.seen("%s is not, and says what to do instead", oauthSession)
	return nil
}

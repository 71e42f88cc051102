// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

const (
	// accessLifetime is the lifetime of the first token, short enough to see its end. The server's
	// default is a day.
	accessLifetime, defaultAccessLifetime = time.Minute, 24 * time.Hour
	// refreshPatch has the token refreshed 8s after it was issued. A renewBefore of more than nine
	// tenths of the lifetime would be ignored.
	refreshPatch = `{"spec":{"rotation":{"renewBefore":"52s"}}}`
	// intervalPatch lets the demo wait for seconds, not for the default of 5m.
	intervalPatch = `{"spec":{"verify":{"interval":"2s"}}}`
)

func (d *demo) showConsent(ctx context.Context) error {
	if err := d.coder.SetAccessLifetime(ctx, accessLifetime); err != nil {
		return err
	}
	if err := d.giveConsent(ctx, v1alpha1.ReasonAwaitingAuthorization); err != nil {
		return err
	}
	secret, err := d.getSecret(ctx, oauthSecret)
	if err != nil {
		return err
	}
	const path = "/api/v2/deployment/ssh"
	d.term.Note("GET %s with what Secret %s holds", path, oauthSecret)
	status, err := holder{data: secret.Data, certificate: true}.getStatus(ctx, path)
	if err != nil {
		return err
	}
	request, err := d.coder.LastRequest(ctx, path)
	if err != nil {
		return err
	}
	if status != http.StatusOK || request.Username != personUser {
		return &walk.UnexpectedError{
			Expected: "200 for " + personUser, Seen: fmt.Sprintf("%d for %q", status, request.Username),
		}
	}
	d.term.Seen("%d %s; the server took the caller for %s", status, http.StatusText(status), request.Username)
	return nil
}

// giveConsent shows the URL of a session that waits for this reason, consents as user ada, and
// waits until the session is ready.
func (d *demo) giveConsent(ctx context.Context, reason string) error {
	address, err := d.consentURL(ctx, reason)
	if err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "get", "cses", oauthSession, "-n", namespace); err != nil {
		return err
	}
	err = d.kubectl.Show(ctx, "get", "cses", oauthSession, "-n", namespace, "-o", "jsonpath={.status.authorization.url}")
	if err != nil {
		return err
	}
	location, err := d.coder.Approve(ctx, personUser, address)
	if err != nil {
		return err
	}
	d.term.Note("%s opens that URL, signs in and agrees; her browser is sent to %s", personUser, d.callbackURL)
	status, title, err := openPage(ctx, location)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return &walk.UnexpectedError{Expected: "200 at the operator's callback", Seen: fmt.Sprintf("%d: %s", status, title)}
	}
	d.term.Seen("the page that she ends on: %q", title)
	took, err := walk.Await(ctx, "CoderSession "+oauthSession+" is Ready (Active)",
		d.sessionIs(oauthSession, v1alpha1.ReasonActive))
	if err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "get", "cses", oauthSession, "-n", namespace); err != nil {
		return err
	}
	return d.showConsenter(ctx, took)
}

// showConsenter makes sure that status names the person who consented.
func (d *demo) showConsenter(ctx context.Context, took time.Duration) error {
	object, err := d.getSession(ctx, oauthSession)
	if err != nil {
		return err
	}
	if user := object.Status.User; user == nil || user.Username != personUser {
		return &walk.UnexpectedError{Expected: "status.user of the session is " + personUser, Seen: fmt.Sprintf("%+v", user)}
	}
	d.term.Seen("Ready %s later, as %s", walk.Brief(took), personUser)
	return nil
}

// consentURL waits until the session has a URL for a person, and this reason.
func (d *demo) consentURL(ctx context.Context, reason string) (address string, err error) {
	waits := d.sessionIs(oauthSession, reason)
	expected := fmt.Sprintf("CoderSession %s waits for a person (%s)", oauthSession, reason)
	_, err = walk.Await(ctx, expected, func(ctx context.Context) (string, bool, error) {
		seen, ok, err := waits(ctx)
		if err != nil || !ok {
			return seen, false, err
		}
		session, err := d.getSession(ctx, oauthSession)
		if err != nil || session.Status.Authorization == nil {
			return "no URL in its status", false, err
		}
		address = session.Status.Authorization.URL
		return seen, true, nil
	})
	return address, err
}

func (d *demo) showRefresh(ctx context.Context) error {
	before, err := d.getSecret(ctx, oauthSecret)
	if err != nil {
		return err
	}
	old := before.Annotations[v1alpha1.AnnotationTokenID]
	if err := d.coder.SetAccessLifetime(ctx, defaultAccessLifetime); err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "patch", "cses", oauthSession, "-n", namespace, "--type=merge", "-p",
		refreshPatch); err != nil {
		return err
	}
	_, err = walk.Await(ctx, "Secret "+oauthSecret+" holds another token, which the server accepts",
		func(ctx context.Context) (string, bool, error) {
			now, err := d.getSecret(ctx, oauthSecret)
			if err != nil {
				return "", false, err
			}
			id := now.Annotations[v1alpha1.AnnotationTokenID]
			accepted, err := d.coder.Accepts(ctx, string(now.Data["session"]))
			return fmt.Sprintf("token %s, accepted: %t", id, accepted), id != old && accepted, err
		})
	if err != nil {
		return err
	}
	accepted, err := d.coder.Accepts(ctx, string(before.Data["session"]))
	if err != nil {
		return err
	}
	grants, err := d.coder.Grants(ctx, personUser)
	if err != nil {
		return err
	}
	if accepted || len(grants) != 1 {
		return &walk.UnexpectedError{
			Expected: "the old token is dead, and there is one grant",
			Seen:     fmt.Sprintf("accepted: %t, %d grants", accepted, len(grants)),
		}
	}
	if err := d.showGrantedToken(ctx); err != nil {
		return err
	}
	d.term.Seen("token %s took the place of %s, which the server does not accept any more; no consent was needed",
		grants[0].Key.ID, old)
	return nil
}

func (d *demo) showGrantedToken(ctx context.Context) error {
	return d.kubectl.Show(ctx, "get", "cses", oauthSession, "-n", namespace, "-o",
		"custom-columns=ID:.status.token.id,EXPIRES:.status.token.expirationTime,NEXT REFRESH:.status.nextRefreshTime")
}

func (d *demo) showReauthentication(ctx context.Context) error {
	if err := d.kubectl.Show(ctx, "patch", "cdep", "prod", "-n", namespace, "--type=merge", "-p",
		intervalPatch); err != nil {
		return err
	}
	grants, err := d.coder.Grants(ctx, personUser)
	if err != nil {
		return err
	}
	if len(grants) != 1 {
		return &walk.UnexpectedError{Expected: "one grant of " + personUser, Seen: fmt.Sprintf("%d", len(grants))}
	}
	if err := d.coder.RevokeGrant(ctx, personUser, grants[0].ClientID); err != nil {
		return err
	}
	d.term.Note("%s revokes what she has granted, on the server", personUser)
	return d.giveConsent(ctx, v1alpha1.ReasonReauthenticationRequired)
}

func (d *demo) showGivingBack(ctx context.Context) error {
	secret, err := d.getSecret(ctx, oauthSecret)
	if err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "delete", "cses", oauthSession, "-n", namespace); err != nil {
		return err
	}
	for _, name := range []string{oauthSecret, oauthSession + "-oauth"} {
		if _, err := d.getSecret(ctx, name); !apierrors.IsNotFound(err) {
			return &walk.UnexpectedError{Expected: "Secret " + name + " is gone", Seen: fmt.Sprintf("looking for it: %v", err)}
		}
	}
	d.term.Seen("the session is gone, and so are its two Secrets")
	accepted, err := d.coder.Accepts(ctx, string(secret.Data["session"]))
	if err != nil {
		return err
	}
	grants, err := d.coder.Grants(ctx, personUser)
	if err != nil {
		return err
	}
	clients, err := d.coder.Clients(ctx)
	if err != nil {
		return err
	}
	if accepted || len(grants) > 0 || len(clients) > 0 {
		return &walk.UnexpectedError{
			Expected: "the token is revoked, no grant and no registered client is left",
			Seen:     fmt.Sprintf("accepted: %t, %d grants, %d clients", accepted, len(grants), len(clients)),
		}
	}
	d.term.Seen("the server does not accept its token any more, and has neither the grant nor the registered client")
	return nil
}

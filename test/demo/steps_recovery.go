// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// patchPair replaces certificate and key together, as a tool that renews them does.
func (d *demo) patchPair(ctx context.Context, file string, pair *certs.Certificate) error {
	patch, err := json.Marshal(map[string]any{"stringData": map[string]string{
		"tls.crt": string(pair.CertPEM), "tls.key": string(pair.KeyPEM),
	}})
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	if _, err := d.folder.Write(file, patch); err != nil {
		return err
	}
	return d.kubectl.Show(ctx, "patch", "secret", "coder-mtls", "-n", namespace, "--type=merge", "--patch-file="+file)
}

func (d *demo) showSuspension(ctx context.Context) error {
	strangers, err := certs.NewAuthority("an authority that the server does not know", nil)
	if err != nil {
		return err
	}
	wrong, err := strangers.Issue(certs.Request{Usage: certs.Client, CommonName: operatorUser})
	if err != nil {
		return err
	}
	minted, err := d.watchReady(ctx, []string{mintedSession})
	if err != nil {
		return err
	}
	defer minted.stop()
	if err := d.patchPair(ctx, "wrong-pair.json", wrong); err != nil {
		return err
	}
	took, err := walk.Await(ctx, "CoderSession "+certificateSession+" is Suspended",
		d.sessionIs(certificateSession, v1alpha1.ReasonSuspended))
	if err != nil {
		return err
	}
	// If the server names its authorities, a TLS client sends no certificate of another one; otherwise
	// it sends the certificate and is rejected. Hence the two reasons.
	refused := d.deploymentIs(v1alpha1.ReasonCertificateRequired, v1alpha1.ReasonCertificateAuthorityUnknown)
	if _, err := walk.Await(ctx, "CoderDeployment prod says that the certificate does not do", refused); err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "get", "cdep,cses", "-n", namespace); err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "get", "cses", certificateSession, "-n", namespace, "-o",
		"jsonpath={.status.suspension}"); err != nil {
		return err
	}
	d.term.Seen("%s is Suspended %s after the write, and says why", certificateSession, walk.Brief(took))
	if left := minted.stop(); len(left) > 0 {
		return &walk.UnexpectedError{Expected: mintedSession + " stays Ready", Seen: left[0]}
	}
	if err := d.tokenAccepted(ctx); err != nil {
		return err
	}
	d.term.Seen("%s stayed Ready, and the server still accepts its token", mintedSession)
	return nil
}

// tokenAccepted asks the server about the token in the Secret of the minted session.
func (d *demo) tokenAccepted(ctx context.Context) error {
	secret, err := d.getSecret(ctx, mintedSession)
	if err != nil {
		return err
	}
	accepted, err := d.coder.Accepts(ctx, string(secret.Data["session"]))
	if err == nil && !accepted {
		err = &walk.UnexpectedError{Expected: "the server accepts the token in Secret " + mintedSession, Seen: "it does not"}
	}
	return err
}

func (d *demo) showRecovery(ctx context.Context) error {
	before, err := d.getSession(ctx, certificateSession)
	if err != nil {
		return err
	}
	right, err := d.material.issueClientCertificate()
	if err != nil {
		return err
	}
	if err := d.patchPair(ctx, "right-pair.json", right); err != nil {
		return err
	}
	started := time.Now()
	d.material.client = right
	if err := d.allReady(ctx); err != nil {
		return err
	}
	took := time.Since(started)
	if _, err := walk.Await(ctx, "the Secrets have the new certificate", d.hasNewMaterial); err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "get", "cdep,cses", "-n", namespace); err != nil {
		return err
	}
	after, err := d.getSession(ctx, certificateSession)
	if err != nil {
		return err
	}
	if after.Generation != before.Generation || after.Status.Suspension != nil {
		return &walk.UnexpectedError{
			Expected: "the session was not touched and its suspension is over",
			Seen: fmt.Sprintf("generation %d, was %d; suspension %+v", after.Generation, before.Generation,
				after.Status.Suspension),
		}
	}
	d.term.Seen("all is Ready again %s after the write (%s of it is the quiet period); the session was not changed",
		walk.Brief(took), quietPeriod)
	return nil
}

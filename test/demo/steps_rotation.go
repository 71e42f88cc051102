// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// rotationPatch asks for another token, and for a short overlap, so that its end can
// be seen.
const rotationPatch = `{"spec":{"auth":{"mint":{"lifetime":"12h"}},"rotation":{"overlap":"8s"}}}`

func (d *demo) showRotation(ctx context.Context) error {
	secret, err := d.getSecret(ctx, mintedSession)
	if err != nil {
		return err
	}
	old := string(secret.Data["session"])
	if err := d.showSerial(ctx); err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "patch", "cses", mintedSession, "-n", namespace, "--type=merge", "-p",
		rotationPatch); err != nil {
		return err
	}
	looks := 0
	took, err := walk.Await(ctx, "Secret "+mintedSession+" holds serial 2",
		func(ctx context.Context) (string, bool, error) {
			looks++
			if err := d.tokenAccepted(ctx); err != nil {
				return "", false, err
			}
			now, err := d.getSecret(ctx, mintedSession)
			return "serial " + now.Annotations[v1alpha1.AnnotationSerial], now.Annotations[v1alpha1.AnnotationSerial] == "2", err
		})
	if err != nil {
		return err
	}
	replaced := time.Now()
	if err := d.showSerial(ctx); err != nil {
		return err
	}
	d.term.Seen("serial 2 is published after %s", walk.Brief(took))
	accepted, err := d.coder.Accepts(ctx, old)
	if err != nil {
		return err
	}
	if !accepted {
		return &walk.UnexpectedError{Expected: "the old token is accepted during the overlap", Seen: "it is not"}
	}
	d.term.Seen("the old token is still accepted, too: callers that hold it are not interrupted")
	return d.showRevocation(ctx, old, replaced)
}

func (d *demo) showSerial(ctx context.Context) error {
	return d.kubectl.Show(ctx, "get", "cses", mintedSession, "-n", namespace, "-o",
		"custom-columns=SERIAL:.status.token.serial,ID:.status.token.id,EXPIRES:.status.token.expirationTime,"+
			"PENDING REVOCATION:.status.pendingRevocations[*].id,REVOKED AFTER:.status.pendingRevocations[*].revokeTime")
}

// showRevocation waits for the end of the overlap.
func (d *demo) showRevocation(ctx context.Context, old string, replaced time.Time) error {
	_, err := walk.Await(ctx, "the old token is revoked after the overlap of 8s",
		func(ctx context.Context) (string, bool, error) {
			if err := d.tokenAccepted(ctx); err != nil {
				return "", false, err
			}
			accepted, err := d.coder.Accepts(ctx, old)
			return fmt.Sprintf("accepted: %t", accepted), !accepted, err
		})
	if err != nil {
		return err
	}
	d.term.Seen("the old token is revoked %s after its replacement; the new one was accepted all the time",
		walk.Brief(time.Since(replaced)))
	return nil
}

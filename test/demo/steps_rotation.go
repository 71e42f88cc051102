package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// rotationPatch asks for another token, and for a short overlap, so that its end can
// be seen.
const rotationPatch = `{"spec":{"auth":{"mint":{"lifetime":"12h"}},"rotation":{"overlap":"8s"}}}`

func (d *demo) showRotation(ctx context.Context) error {
	secret, err := d.secret(ctx, mintedSession)
	if err != nil {
		return err
	}
	old := string(secret.Data["session"])
	if err := d.showSerial(ctx); err != nil {
		return err
	}
	if err := d.kubectl.show(ctx, "patch", "cses", mintedSession, "-n", namespace, "--type=merge", "-p", rotationPatch); err != nil {
		return err
	}
	looks := 0
	took, err := await(ctx, "Secret "+mintedSession+" holds serial 2", func(ctx context.Context) (string, bool, error) {
		looks++
		if err := d.tokenAccepted(ctx); err != nil {
			return "", false, err
		}
		now, err := d.secret(ctx, mintedSession)
		return "serial " + now.Annotations[v1alpha1.AnnotationSerial], now.Annotations[v1alpha1.AnnotationSerial] == "2", err
	})
	if err != nil {
		return err
	}
	replaced := time.Now()
	if err := d.showSerial(ctx); err != nil {
		return err
	}
	d.term.seen("serial 2 is published after %s", brief(took))
	accepted, err := d.coder.accepts(ctx, old)
	if err != nil {
		return err
	}
	if !accepted {
		return &unexpectedError{expected: "the old token is accepted during the overlap", seen: "it is not"}
	}
	d.term.seen("the old token is still accepted, too: whoever has it goes on working")
	return d.showRevocation(ctx, old, replaced)
}

func (d *demo) showSerial(ctx context.Context) error {
	return d.kubectl.show(ctx, "get", "cses", mintedSession, "-n", namespace, "-o",
		"custom-columns=SERIAL:.status.token.serial,ID:.status.token.id,EXPIRES:.status.token.expiresAt,"+
			"RETIRING:.status.retiring[*].id,REVOKED AFTER:.status.retiring[*].revokeAfter")
}

// showRevocation waits for the end of the overlap.
func (d *demo) showRevocation(ctx context.Context, old string, replaced time.Time) error {
	_, err := await(ctx, "the old token is revoked after the overlap of 8s", func(ctx context.Context) (string, bool, error) {
		if err := d.tokenAccepted(ctx); err != nil {
			return "", false, err
		}
		accepted, err := d.coder.accepts(ctx, old)
		return fmt.Sprintf("accepted: %t", accepted), !accepted, err
	})
	if err != nil {
		return err
	}
	d.term.seen("the old token is revoked %s after its replacement; the new one was accepted all the time", brief(time.Since(replaced)))
	return nil
}

package main

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func (d *demo) showDeletion(ctx context.Context) error {
	secret, err := d.secret(ctx, mintedSession)
	if err != nil {
		return err
	}
	if err := d.kubectl.show(ctx, "delete", "cses", mintedSession, "-n", namespace); err != nil {
		return err
	}
	if _, err := d.secret(ctx, mintedSession); !apierrors.IsNotFound(err) {
		return &unexpectedError{expected: "Secret " + mintedSession + " is gone", seen: fmt.Sprintf("looking for it: %v", err)}
	}
	d.term.seen("the session is gone, and so is its Secret")
	accepted, err := d.coder.accepts(ctx, string(secret.Data["session"]))
	if err != nil {
		return err
	}
	keys, err := d.coder.minted(ctx)
	if err != nil {
		return err
	}
	if accepted || len(keys) > 0 {
		return &unexpectedError{
			expected: "the token is revoked, no minted token is left",
			seen:     fmt.Sprintf("accepted: %t, %d minted tokens", accepted, len(keys)),
		}
	}
	d.term.seen("the server does not accept its token any more, and has no other token that the operator minted")
	return nil
}

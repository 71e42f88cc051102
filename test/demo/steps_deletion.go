// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

func (d *demo) showDeletion(ctx context.Context) error {
	secret, err := d.getSecret(ctx, mintedSession)
	if err != nil {
		return err
	}
	if err := d.kubectl.Show(ctx, "delete", "cses", mintedSession, "-n", namespace); err != nil {
		return err
	}
	if _, err := d.getSecret(ctx, mintedSession); !apierrors.IsNotFound(err) {
		return &walk.UnexpectedError{
			Expected: "Secret " + mintedSession + " is gone", Seen: fmt.Sprintf("looking for it: %v", err),
		}
	}
	d.term.Seen("the session is gone, and so is its Secret")
	accepted, err := d.coder.Accepts(ctx, string(secret.Data["session"]))
	if err != nil {
		return err
	}
	keys, err := d.coder.Minted(ctx)
	if err != nil {
		return err
	}
	if accepted || len(keys) > 0 {
		return &walk.UnexpectedError{
			Expected: "the token is revoked, no minted token is left",
			Seen:     fmt.Sprintf("accepted: %t, %d minted tokens", accepted, len(keys)),
		}
	}
	d.term.Seen("the server does not accept its token any more, and has no other token that the operator minted")
	return nil
}

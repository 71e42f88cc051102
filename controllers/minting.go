// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// minting is a token that is to be: a session's, or the operator's own.
type minting struct {
	conn    *connection.Connection
	userID  string
	request coder.TokenRequest
	// unpublished makes sure that a token of that name, which is there already, is
	// used by nobody. Its error is a conflict.
	unpublished func(context.Context, coder.Token) error
}

// run posts the token and reads it back. The value exists nowhere but in what it
// returns; whatever goes wrong before that is stored, the name finds the token
// again (B40, B41).
func (m minting) run(ctx context.Context) (redact.Secret, coder.Token, error) {
	var value redact.Secret
	var token coder.Token
	_, err := m.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) (err error) {
		if value, err = m.post(ctx, line.Client); err != nil {
			return err
		}
		token, err = m.examine(ctx, line.Client, value)
		return err
	})
	if err == nil {
		m.conn.Inventory.Add(token)
	}
	return value, token, err
}

// post creates the token. A name that is taken is the operator's own, from a crash
// or a lost answer: its value is lost, so it is deleted and posted again.
func (m minting) post(ctx context.Context, c *coder.Client) (redact.Secret, error) {
	value, err := c.MintToken(ctx, m.userID, m.request)
	if coder.KindOf(err) != coder.Conflict {
		return value, err
	}
	lost, err := c.TokenByName(ctx, m.userID, m.request.Name)
	if err != nil {
		return redact.Secret{}, err
	}
	if err := m.unpublished(ctx, lost); err != nil {
		return redact.Secret{}, err
	}
	if err := c.DeleteToken(ctx, lost.UserID, lost.ID); err != nil && coder.KindOf(err) != coder.NotFound {
		return redact.Secret{}, err
	}
	m.conn.Inventory.Remove(lost.ID)
	return c.MintToken(ctx, m.userID, m.request)
}

// examine reads the new token back as the operator, which does not touch it
// (contract G.8), and refuses one that is not what was ordered.
func (m minting) examine(ctx context.Context, c *coder.Client, value redact.Secret) (coder.Token, error) {
	id, err := coder.TokenID(value)
	if err != nil {
		return coder.Token{}, err
	}
	token, err := c.Token(ctx, m.userID, id)
	if err != nil {
		return coder.Token{}, err
	}
	if token.UserID != m.userID {
		deleted := c.DeleteToken(ctx, token.UserID, token.ID)
		return coder.Token{}, errors.Join(fmt.Errorf("the server minted token %s for user %s instead of %s", token.ID, token.UserID, m.userID), deleted)
	}
	return token, nil
}

// errTaken is a conflict over a Secret: what it holds is somebody's already.
func errTaken(secretName, why string) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, secretName, errors.New(why))
}

// discard revokes a token that could not be stored, so that nobody can be using
// it. A write that failed may have been carried out all the same, so who finds the
// token stored, or cannot look, leaves it. Where it stays, the inventory still knows
// it and it is revoked later, if it is not in use.
func (m minting) discard(ctx context.Context, token coder.Token) {
	err := m.unpublished(ctx, token)
	if err == nil {
		_, err = m.conn.Do(ctx, func(ctx context.Context, line *connection.ResolvedClient) error {
			return line.Client.DeleteToken(ctx, token.UserID, token.ID)
		})
	}
	if err == nil || coder.KindOf(err) == coder.NotFound {
		m.conn.Inventory.Remove(token.ID)
		return
	}
	ctrl.LoggerFrom(ctx).Info("a token that could not be stored is revoked later", "token", token.ID, "problem", err.Error())
}

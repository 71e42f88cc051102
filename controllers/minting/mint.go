// SPDX-License-Identifier: Apache-2.0

package minting

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// Operation mints one token, for a session, or the operator's own. All fields are required.
type Operation struct {
	Conn    *connection.Connection
	UserID  string
	Request coder.TokenRequest
	// RequireUnpublished returns a conflict error if an existing token is published in a
	// Secret, that is, may be in use.
	RequireUnpublished func(context.Context, coder.Token) error
	// IsForeign reports whether another operator has minted an existing token, which is left alone then.
	IsForeign func(coder.Token) bool
}

// Run creates the token and reads it back. Its value exists only in what Run returns.
// If anything fails before the value is stored, the token is found again by its
// name, which is deterministic (B40, B41).
func (m Operation) Run(ctx context.Context) (redact.Secret, coder.Token, error) {
	var value redact.Secret
	var token coder.Token
	_, err := m.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		if value, err = m.postToken(ctx, resolved.Client); err != nil {
			return err
		}
		token, err = m.readBack(ctx, resolved.Client, value)
		return err
	})
	if err == nil {
		m.Conn.Inventory.Add(token)
	}
	return value, token, err
}

// postToken creates the token. If the name is taken, an earlier attempt of the operator
// created the token and then crashed, or did not receive the response. The value of that
// token is lost, so it is deleted and the token is created again.
func (m Operation) postToken(ctx context.Context, c *coder.Client) (redact.Secret, error) {
	value, unanswered, err := m.requestToken(ctx, c)
	if coder.KindOf(err) != coder.Conflict {
		return value, err
	}
	lost, err := c.TokenByName(ctx, m.UserID, m.Request.Name)
	if err != nil {
		return redact.Secret{}, err
	}
	if lost.Name != m.Request.Name {
		return redact.Secret{}, fmt.Errorf("the server answers with token %s instead of the one named %q: it is not revoked",
			lost.ID, m.Request.Name)
	}
	m.Conn.Inventory.Add(lost) // if it is kept, the next decision has to know that its name is taken
	if !unanswered && m.IsForeign(lost) {
		return redact.Secret{}, foreignConflict(lost.Name)
	}
	if err := m.RequireUnpublished(ctx, lost); err != nil {
		return redact.Secret{}, err
	}
	if err := c.DeleteToken(ctx, lost.UserID, lost.ID); err != nil && coder.KindOf(err) != coder.NotFound {
		return redact.Secret{}, err
	}
	m.Conn.Inventory.Remove(lost.ID)
	value, _, err = m.requestToken(ctx, c)
	return value, err
}

// refusals are the answers of a server that has minted nothing.
var refusals = []coder.Kind{
	coder.Conflict, coder.Invalid, coder.NotFound, coder.Forbidden, coder.RateLimited,
	coder.Unauthorized, coder.UserSuspended, coder.KeyExpired, coder.KeyUnknown,
}

// requestToken asks the server for the token, and remembers that. It reports whether an earlier request
// had no answer, so that the token may exist already.
func (m Operation) requestToken(ctx context.Context, c *coder.Client) (redact.Secret, bool, error) {
	name, attempts := m.Request.Name, m.Conn.Inventory.Attempts()
	unanswered := attempts.Begin(name, m.Request.Lifetime)
	value, err := c.MintToken(ctx, m.UserID, m.Request)
	if id, _ := coder.TokenID(value); err == nil && id != "" {
		attempts.RecordMinted(name, id, m.Request.Lifetime)
	} else if !unanswered && slices.Contains(refusals, coder.KindOf(err)) {
		attempts.RecordRefused(name)
	}
	return value, unanswered, err
}

// readBack reads the new token with the operator's credential, which does not count as
// a use of the token (contract G.8). A token for another user than requested is deleted.
func (m Operation) readBack(ctx context.Context, c *coder.Client, value redact.Secret) (coder.Token, error) {
	id, err := coder.TokenID(value)
	if err != nil {
		return coder.Token{}, err
	}
	token, err := c.Token(ctx, m.UserID, id)
	if err != nil {
		return coder.Token{}, err
	}
	if token.ID != id || token.Name != m.Request.Name { // it is not the operator's, which revokes no other (B142)
		return coder.Token{}, fmt.Errorf("the server answers with token %s instead of the one that it minted, %s",
			token.ID, id)
	}
	if token.UserID != m.UserID {
		deleted := c.DeleteToken(ctx, token.UserID, token.ID)
		wrongUser := &coder.Error{Kind: coder.Malformed, Op: coder.OpMintToken, Message: fmt.Sprintf(
			"the server minted token %s for another user (id %s) than asked for (%s)", token.ID, token.UserID, m.UserID)}
		return coder.Token{}, errors.Join(wrongUser, deleted)
	}
	return token, nil
}

// SecretConflict returns a conflict error about a Secret whose contents are in use or
// were changed by another writer.
func SecretConflict(secretName, why string) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, secretName, errors.New(why))
}

// foreignConflict returns a conflict error about a token that another operator has minted. The next
// observation has it.
func foreignConflict(name string) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "tokens"}, name,
		errors.New("another operator has minted it"))
}

// RevokeUnstored revokes a token that could not be stored and therefore cannot be in use.
// A write that returned an error may have succeeded, so the token is kept if it is found
// stored, or if that cannot be determined. A token that is kept stays in the inventory and
// is revoked later if it is not in use.
func (m Operation) RevokeUnstored(ctx context.Context, token coder.Token) {
	err := m.RequireUnpublished(ctx, token)
	if err == nil {
		_, err = m.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) error {
			return resolved.Client.DeleteToken(ctx, token.UserID, token.ID)
		})
	}
	if err == nil || coder.KindOf(err) == coder.NotFound {
		m.Conn.Inventory.Remove(token.ID)
		return
	}
	ctrl.LoggerFrom(ctx).Info("a token that could not be stored is revoked later",
		"token", token.ID, "problem", err.Error())
}

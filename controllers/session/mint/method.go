// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"fmt"
	"slices"
	"weak"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	base "github.com/coder-session-operator/coder-session-operator/controllers/session"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// Method is auth.mint. Create it with [New].
type Method struct{ tools *base.Tools }

// New returns the method.
func New(tools *base.Tools) *Method { return &Method{tools: tools} }

// memory is what one pass over a session has found out. The next pass starts with none, except for
// what is kept.
type memory struct {
	// pass is weak: what a pass has read is large, and not kept until the next one.
	pass   weak.Pointer[base.Scope]
	target session.TargetUser
	kept
}

// kept is what later passes have to know, too.
type kept struct {
	// attempted is true if this process has tried to mint a token, minted the serial of the last one if it
	// was stored, and nothing was tried since; 0: that is not so.
	attempted bool
	minted    int64
	// takenSerial is the highest serial whose name a token has that may be in use; 0: none is known.
	takenSerial int64
	// searched is the fingerprint of the settings with which the server was asked for a lost token of
	// a deleted session, which mints no further one; empty: it was not asked.
	searched string
}

// of returns what the current pass has found out.
func of(s *base.Scope) *memory {
	m := s.Memory.Of(v1alpha1.AuthMint).(*memory)
	if pass := weak.Make(s); m.pass != pass {
		*m = memory{pass: pass, kept: m.kept}
	}
	return m
}

// NewMemory returns an empty memory.
func (*Method) NewMemory() any { return &memory{} }

// Observe adds the session's tokens on the server, and the user that tokens are minted for.
func (m *Method) Observe(ctx context.Context, s *base.Scope, o *session.Observation) error {
	found := of(s)
	o.TargetUser = found.target
	// No token can have been lost if none was ever minted: this process has added the finalizer, or created
	// the session of a pod, and has not tried since.
	neverMinted := s.Memory.NothingMinted || !found.attempted && m.tools.Siblings.Created(s.Session)
	o.LostTokenSearched = neverMinted || s.Resolved != nil && found.searched == s.Resolved.Snapshot.Fingerprint
	o.MintedSerial = found.minted
	if s.Conn == nil {
		return nil
	}
	o.SpecDigest = session.SpecDigest(s.Session.Spec.Auth.Mint, s.Conn.VerificationStatus().DeploymentID)
	o.TakenSerial = found.takenSerial
	o.ServerTokens = m.observeServerTokens(s, o.Secret.Token)
	return m.observeDenial(ctx, s, o)
}

// observeDenial adds why the access rules do not allow the published token: the server grants more
// than they allow (B137), or they were narrowed since it was minted for another spec (B32).
func (m *Method) observeDenial(ctx context.Context, s *base.Scope, o *session.Observation) error {
	if o.Deployment.Denied != "" {
		return nil
	}
	if listed := o.ServerTokens.Token; listed != nil {
		var denial string
		var err error
		if o.Secret.Token.IsMintedFor(o.SpecDigest) {
			denial, err = m.grantDenialReason(ctx, s, s.Session, deployment.Granted{
				Scopes: base.FromStrings[v1alpha1.Scope](listed.Scopes),
			})
		} else {
			denial, err = m.formerDenialReason(ctx, s, listed.ID)
		}
		o.Deployment.Denied = denial
		if err != nil {
			return err
		}
	}
	return m.observeFormerDenials(ctx, s, o)
}

// observeFormerDenials marks those of the session's other tokens that the access rules do not allow any more. Such
// a one was published last if none is published now: the session is denied until it is revoked.
func (m *Method) observeFormerDenials(ctx context.Context, s *base.Scope, o *session.Observation) error {
	for i := range o.ServerTokens.Others {
		other := &o.ServerTokens.Others[i]
		if other.OfOtherUser && !isNamedByStatus(s, other.ID) {
			continue
		}
		denial, err := m.formerDenialReason(ctx, s, other.ID)
		if err != nil {
			return err
		}
		if other.Denied = denial != ""; other.Denied && o.Secret.Token == nil {
			o.Deployment.Denied = denial
		}
	}
	return nil
}

// formerDenialReason returns why the access rules do not allow a token that may have been minted for another spec.
func (m *Method) formerDenialReason(ctx context.Context, s *base.Scope, id string) (string, error) {
	token, found := s.Conn.Inventory.Lookup(id)
	if !found || s.Session.Namespace == s.Deployment.Namespace {
		return "", nil
	}
	return m.grantDenialReason(ctx, s, askedFor(s.Session, token), deployment.Granted{
		Scopes: base.FromStrings[v1alpha1.Scope](token.Scopes), Lifetime: token.ExpiresAt.Sub(token.CreatedAt),
	})
}

// askedFor returns a session as it may have been when it asked for a minted token: for the user whose token it is.
func askedFor(s *v1alpha1.CoderSession, token coder.Token) *v1alpha1.CoderSession {
	former := s.DeepCopy()
	mint := former.Spec.Auth.Mint
	if mint == nil {
		mint = &v1alpha1.MintAuth{Scopes: base.FromStrings[v1alpha1.Scope](token.Scopes)}
	}
	if user := s.Status.User; user != nil && user.ID == token.UserID {
		mint.User = user.Username
	} else if token.Username != "" {
		mint.User = token.Username
	}
	former.Spec.Auth = v1alpha1.Auth{Mint: mint}
	return former
}

// grantDenialReason returns why the access rules do not allow what the server has granted to a session that asked
// for it.
func (m *Method) grantDenialReason(
	ctx context.Context, s *base.Scope, asked *v1alpha1.CoderSession, granted deployment.Granted,
) (string, error) {
	namespace, err := m.tools.Namespace(ctx, s.Session.Namespace, s.Deployment.Namespace)
	if err != nil {
		return "", err
	}
	return deployment.GrantDenialReason(s.Deployment, asked, namespace, granted), nil
}

// observeServerTokens returns the session's tokens from the deployment's inventory.
func (m *Method) observeServerTokens(s *base.Scope, published *session.Published) session.ServerTokens {
	var tokens session.ServerTokens
	if user := s.Session.Status.User; user != nil {
		tokens.UserSuspended = s.Conn.Inventory.Suspended(user.ID)
		tokens.Loaded = s.Conn.Inventory.LoadedFor(user.ID) && s.Conn.VerificationStatus().CanSee(user.ID)
	}
	uid := string(s.Session.UID)
	for _, token := range s.Conn.Inventory.WithPrefix(m.tools.Names.SessionPrefix(uid)) {
		serial, ok := m.tools.Names.SerialOfAny(token.Name, uid)
		if !ok || slices.Contains(s.Revoked, token.ID) {
			continue
		}
		listed := session.Listed{
			ID: token.ID, Name: token.Name, Serial: serial,
			CreatedAt: token.CreatedAt, LastUsedAt: token.LastUsed, Scopes: token.Scopes,
			AllowList: token.AllowList, OfOtherUser: !isOfSessionUser(s, token),
		}
		if token.LimitsLeftOut { // more than a session can ask for
			listed.Scopes, listed.AllowList = []string{session.ScopeEverything}, []string{session.AllowListEverything}
		}
		switch {
		case published != nil && published.ID == token.ID:
			tokens.Token = &listed
		case m.isForeign(s, token):
			if !listed.OfOtherUser { // otherwise it is left alone, and tells nothing
				tokens.Foreign = append(tokens.Foreign, listed)
			}
		default:
			tokens.Others = append(tokens.Others, listed)
		}
	}
	return tokens
}

// Actions returns the actions on minted tokens.
func (m *Method) Actions() map[session.Action]base.Action {
	return map[session.Action]base.Action{
		session.LookUpUser:    m.lookUpUser,
		session.Mint:          m.mintToken,
		session.FindLostToken: m.findLostToken,
		session.Revoke:        m.revokeTokens,
	}
}

// Credential returns the published token. Minted tokens are verified without using them (contract G.8);
// the exception is one that was recognized by its value.
func (m *Method) Credential(ctx context.Context, s *base.Scope, o session.Observation) (base.Credential, error) {
	token, err := m.TokenToPublish(ctx, s, o)
	return base.FixedToken{Value: token.Value, Key: m.tools.Key}, err
}

// TokenToPublish returns the minted token that the Secret still contains.
func (m *Method) TokenToPublish(ctx context.Context, s *base.Scope, _ session.Observation) (secret.Token, error) {
	if s.Prior.Token == nil {
		return secret.Token{}, base.Outdated("its token is gone")
	}
	token := base.PublishedToken(s.Prior.Token)
	value, found, err := m.tools.Secrets.Token(ctx, s.Session, *s.Prior.Token)
	if err != nil {
		return token, fmt.Errorf("read the published token: %w", err)
	}
	if !found {
		return token, base.Outdated("its token is gone")
	}
	token.Value = value
	return token, nil
}

// SendsToken returns true.
func (*Method) SendsToken() bool { return true }

// Username returns the user that tokens are minted for.
func (*Method) Username(s *base.Scope) string { return s.Session.Spec.Auth.Mint.User }

// lookUpUser finds the user for whom tokens are minted.
func (m *Method) lookUpUser(ctx context.Context, s *base.Scope, _ session.Observation, _ session.Plan) error {
	found, err := s.Conn.Target(ctx, s.Session.Spec.Auth.Mint.User)
	if coder.KindOf(err) == coder.NotFound {
		of(s).target = session.TargetUser{Known: true, Missing: true}
		return nil
	}
	if err != nil {
		return err
	}
	of(s).target = session.TargetUser{
		Known: true,
		User: v1alpha1.SessionUser{
			ID: found.User.ID, Username: found.User.Username, ServiceAccount: found.User.ServiceAccount,
			DeploymentID: s.Conn.VerificationStatus().DeploymentID,
		},
		Suspended:   found.User.Status == coder.UserStatusSuspended,
		MaxLifetime: found.MaxLifetime,
	}
	return m.addUnlistedToken(ctx, s)
}

// isMoved reports whether another manager has minted the published token, before the session came here: it
// is kept (B171). What annotations say is not enough, because anyone who may write the Secret can forge it.
func (m *Method) isMoved(s *base.Scope, token coder.Token) bool {
	return isNamedByStatus(s, token.ID) && token.UserID == of(s).target.User.ID &&
		m.tools.Names.OfSession(token.Name, string(s.Session.UID))
}

// addUnlistedToken reads a published token that is missing in the inventory, and adds it if it
// exists. It may have been minted after the last refresh by a former leader that had not yet noticed
// the change of leadership. If both took the token of the other for revoked, they would keep minting
// new ones.
func (m *Method) addUnlistedToken(ctx context.Context, s *base.Scope) error {
	published := s.Prior.Token
	if published == nil || published.Request == "" || !s.Conn.Inventory.LoadedFor(of(s).target.User.ID) {
		return nil
	}
	if _, listed := s.Conn.Inventory.Lookup(published.ID); listed {
		return nil
	}
	var token coder.Token
	_, err := s.Conn.Do(ctx, func(ctx context.Context, resolved *connection.ResolvedClient) (err error) {
		token, err = resolved.Client.Token(ctx, of(s).target.User.ID, published.ID)
		return err
	})
	switch {
	case err == nil && m.isMoved(s, token):
		s.Conn.Inventory.AddMoved(token)
	case err == nil:
		s.Conn.Inventory.Add(token)
	}
	if coder.KindOf(err) == coder.NotFound {
		return nil
	}
	return err
}

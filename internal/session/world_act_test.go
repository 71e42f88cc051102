// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

func (w *sessionModel) carryOut(s *passResult, o Observation, p Plan) {
	fail := func() bool {
		if w.down {
			s.failures = append(s.failures, failure.Failure{Action: string(p.Action), Message: "no route"})
		}
		return w.down
	}
	switch p.Action {
	case AddFinalizer:
		w.o.Session.Finalizers = []string{v1alpha1.SessionFinalizer}
	case RemoveFinalizer:
		w.gone, w.abandoned = true, p.Abandoned
	case LookUpUser:
		if fail() {
			return
		}
		user := o.Session.Spec.Auth.Mint.User
		s.target = TargetUser{
			Known: true, User: v1alpha1.SessionUser{ID: "id-" + user, Username: user},
			Suspended: w.suspended["id-"+user], MaxLifetime: w.maximum,
		}
	case Mint:
		if fail() {
			return
		}
		w.mintToken(p.Mint)
	case CheckCredential:
		if !fail() {
			w.checkCredential(o)
		}
	case Publish:
		w.publishSecret(o)
	case DeleteSecret, RetainSecret:
		w.secret = nil
	case FindLostToken:
		if fail() {
			return
		}
		for id, token := range w.tokens {
			if token.serial == p.Mint.Serial {
				w.revokeToken(id)
				s.revoked = append(s.revoked, id)
			}
		}
		s.searched = true
	case Revoke:
		if fail() {
			return
		}
		for _, token := range p.Revoke {
			w.revokeToken(token.ID)
			s.revoked = append(s.revoked, token.ID)
		}
	}
}

func (w *sessionModel) mintToken(request MintRequest) {
	for id, token := range w.tokens { // 409: the name is taken
		if token.serial == request.Serial {
			if w.secret != nil && w.secret.token != nil && w.secret.token.ID == id {
				w.t.Fatalf("serial %d is minted a second time while it is published", request.Serial)
			}
			w.revokeToken(id)
		}
	}
	if w.minted++; w.minted > 40 {
		w.t.Fatal("minting without end")
	}
	id := fmt.Sprintf("id-%d", w.minted)
	token := &serverToken{
		name: "cso-" + id, serial: request.Serial, user: request.UserID, created: w.now,
		expires: w.now.Add(request.Lifetime),
	}
	w.tokens[id] = token
	w.crashAt("mint")
	w.listed[id] = listedOf(id, token)
	w.secret = &modelSecret{valueOK: true, token: &Published{
		ID: id, Serial: request.Serial, ExpiresAt: token.expires.Truncate(time.Second), SpecDigest: request.SpecDigest,
		Fingerprint: id,
	}}
	w.crashAt("publish")
}

func listedOf(id string, t *serverToken) Listed {
	return Listed{ID: id, Name: t.name, Serial: t.serial, CreatedAt: t.created}
}

func (w *sessionModel) crashAt(point string) {
	if w.crashAfter == point {
		panic(crashed{})
	}
}

func (w *sessionModel) revokeToken(id string) {
	delete(w.tokens, id)
	delete(w.listed, id)
	w.crashAt("revoke")
}

func (w *sessionModel) checkCredential(o Observation) {
	result := refused
	if o.Session.Spec.Auth.Token == nil || w.accepts[o.SuppliedToken.Fingerprint] {
		result = accepted
	}
	w.o.CredentialCheck = CredentialCheck{
		Time: w.now, Credential: o.SuppliedToken.Fingerprint, Settings: o.Deployment.Fingerprint, Result: result,
		User: &v1alpha1.SessionUser{ID: "id-ada", Username: "ada"},
	}
	if o.Session.Spec.Auth.Token == nil {
		w.o.CredentialCheck.Credential = ""
	}
}

func (w *sessionModel) publishSecret(o Observation) {
	next := &modelSecret{valueOK: true}
	switch {
	case o.Session.Spec.Auth.Mint != nil:
		next.token = w.secret.token
	case o.Session.Spec.Auth.Token != nil:
		next.token = &Published{
			ID: o.SuppliedToken.ID, Serial: o.lastSerial(), Fingerprint: o.SuppliedToken.Fingerprint,
		}
	}
	w.secret = next
}

// listTokens reads the server's tokens and suspended users.
func (w *sessionModel) listTokens() {
	w.listedAt = w.now
	d := &w.o.Deployment
	if w.down {
		if d.Result.OK() {
			d.NotReadySince = w.now
		}
		d.Result = unreachable
		return
	}
	d.Result, d.NotReadySince = accepted, time.Time{}
	w.listed, w.listSuspended, w.listLoaded = map[string]Listed{}, map[string]bool{}, true
	for id, t := range w.tokens {
		w.listed[id] = listedOf(id, t)
	}
	for id, is := range w.suspended {
		w.listSuspended[id] = is
	}
}

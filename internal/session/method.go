// SPDX-License-Identifier: Apache-2.0

package session

import (
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// method is what the policies that all sessions share need to know of an auth method. A method
// decides from the observation only.
type method interface {
	// decide is the method's own decision, for a session that no policy has decided about.
	decide(o Observation) Plan
	// replacement is when a live credential is to be replaced and when it expires, by the server's
	// clock; zero: it is not replaced.
	replacement(o Observation) (due, end time.Time)
	// isRenewalServed reports whether the published credential serves the current renewal request.
	isRenewalServed(o Observation) bool
	// mints reports whether the operator mints the session's tokens. Then retention applies, a
	// response that was lost may have left a token on the server, and a Secret without a token holds
	// no credential.
	mints() bool
	// keepsGrant reports whether the session has a use for an OAuth grant.
	keepsGrant() bool
	// limits are what the published token was asked to be limited to, and what the server granted.
	limits(o Observation) limits
	// credential is the fingerprint of the credential that the server is asked about; empty: the
	// connection identifies the caller. False: there is none now.
	credential(o Observation) (string, bool)
	// refusalMessage says that the server refuses a token, for the given reason, and what to do.
	refusalMessage(o Observation, why string) string
}

// methods are the decisions of the auth methods. controllers.Setup lists their actions.
var methods = map[v1alpha1.AuthMethod]method{
	v1alpha1.AuthMint:        mintMethod{},
	v1alpha1.AuthToken:       suppliedMethod{},
	v1alpha1.AuthOAuth:       oauthMethod{},
	v1alpha1.AuthCertificate: certificateMethod{},
}

// methodOf returns the auth method of a session.
func methodOf(s *v1alpha1.CoderSession) method {
	if s.Spec.PerPod != nil {
		return podsMethod{}
	}
	if m, known := methods[s.Spec.Auth.Method()]; known {
		return m
	}
	return certificateMethod{} // the API server lets no session without a method in
}

func (o Observation) method() method { return methodOf(o.Session) }

// Mints reports whether the operator mints the tokens of a session.
func Mints(s *v1alpha1.CoderSession) bool { return methodOf(s).mints() }

// checkedCredential is what methods have in common whose credential the server is asked about.
type checkedCredential struct{}

func (checkedCredential) replacement(Observation) (due, end time.Time) {
	return time.Time{}, time.Time{}
}

func (checkedCredential) isRenewalServed(o Observation) bool {
	return o.CredentialCheck.RenewalRequest == o.renewalRequest() && o.CredentialCheck.Result.OK()
}

// credential is that of the connection.
func (checkedCredential) credential(Observation) (string, bool) { return "", true }

func (checkedCredential) mints() bool { return false }

func (checkedCredential) keepsGrant() bool { return false }

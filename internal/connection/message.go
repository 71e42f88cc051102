// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// remedies say what a reason means and what to do about it. They replace the transport's messages,
// which differ from one connection to the next.
var remedies = map[string]string{
	v1alpha1.ReasonCertificateRejected: "the server refuses the client certificate, mostly because it has " +
		"expired or was revoked: renew it in the Secret that tls.clientCertificateSecretName names",
	v1alpha1.ReasonCertificateUnsupported: "the server does not support this kind of client certificate: put one " +
		"of another kind into the Secret that tls.clientCertificateSecretName names",
	v1alpha1.ReasonCertificateAuthorityUnknown: "the server does not know the authority that signed the client " +
		"certificate: put one of an authority that it knows into the Secret that tls.clientCertificateSecretName names",
	v1alpha1.ReasonCertificateAccessDenied: "the server does not give the owner of the client certificate " +
		"access: have it given, or use another certificate",
	v1alpha1.ReasonCertificateRequired: "the server demands a client certificate: name a Secret with one in " +
		"tls.clientCertificateSecretName",
}

// refusedByEdge is the message for a client certificate that a proxy refuses without saying why
// (B122).
const refusedByEdge = "a proxy in front of the server refuses the client certificate: it has expired, was revoked, " +
	"or is of an authority that the proxy does not know; renew it in the Secret that " +
	"tls.clientCertificateSecretName names"

// conditionMessage returns the condition message for a failure.
func conditionMessage(reason string, e *coder.Error) string {
	if remedy, known := remedies[reason]; known {
		if e.Kind == coder.ClientCertificateRejected && e.Status != 0 {
			return refusedByEdge
		}
		return remedy
	}
	switch reason {
	case v1alpha1.ReasonServerUntrusted:
		return untrustedMessage(e)
	case v1alpha1.ReasonUnauthorized:
		return withCause("the server refuses the credential", strings.TrimSuffix(e.Message, "."))
	case v1alpha1.ReasonUserSuspended:
		return withServerAnswer("the server has suspended the user that the credential belongs to", e)
	case v1alpha1.ReasonForbidden:
		return withServerAnswer("the server denies the request", e)
	case v1alpha1.ReasonEdgeRefused:
		return edgeMessage(e)
	case v1alpha1.ReasonAddressDenied:
		return "the operator does not connect to the address of the server or of the proxy: correct url or proxyURL, or " +
			"have the address allowed where the operator is installed"
	case v1alpha1.ReasonRedirected:
		return redirectMessage(e)
	case v1alpha1.ReasonUnreachable:
		return withServerAnswer("no answer from the server", e)
	}
	return kindMessage(e)
}

// kindMessage is the message for a reason that does not say what is wrong.
func kindMessage(e *coder.Error) string {
	switch e.Kind {
	case coder.SpeaksHTTP:
		return "the server speaks http at this port: write http:// in url, or the port where it speaks https"
	case coder.SpeaksHTTPS:
		return "the server speaks https at this port: write https:// in url"
	case coder.Malformed:
		if e.TooLarge {
			return withServerAnswer("the answer is larger than what a Coder server sends: see what answers there, or have "+
				"tokens deleted that are not used", e)
		}
		return withServerAnswer("the answer is not one of a Coder server: correct the url, or see which proxy answers", e)
	case coder.Invalid:
		return withServerAnswer("the server calls the request invalid", e)
	case coder.RateLimited:
		return withServerAnswer("rate limited; retrying automatically", e)
	default:
		return e.Error()
	}
}

// edgeMessage says that a proxy refuses the request, and what to do about it (B122).
func edgeMessage(e *coder.Error) string {
	remedy := "correct headers, or what the proxy allows (limits of sizes, methods and paths)"
	if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
		remedy = "correct headers, or the client certificate in tls"
	}
	return withServerAnswer(
		"a proxy in front of the server refuses the request, which says nothing about the token: "+remedy, e)
}

// redirectMessage says where a redirect leads, and what to do about it (B122).
func redirectMessage(e *coder.Error) string {
	what := fmt.Sprintf("the server redirects to %s (%s: %d), which is not followed: ", e.Location, e.Op, e.Status)
	if e.Moved {
		return what + "write that into url"
	}
	return what + "if a proxy asks to sign in there, correct headers or tls, otherwise name the url that does not redirect"
}

// withCause adds the server's words, if there are any.
func withCause(what, cause string) string {
	if cause == "" {
		return what
	}
	return what + " (" + cause + ")"
}

// withServerAnswer adds the server's status and message, if there are any.
func withServerAnswer(what string, e *coder.Error) string {
	if e.Status != 0 {
		what = fmt.Sprintf("%s (%s: %d)", what, e.Op, e.Status)
	} else {
		what = fmt.Sprintf("%s (%s)", what, e.Op)
	}
	if e.Message == "" {
		return what
	}
	return what + ": " + e.Message
}

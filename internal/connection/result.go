// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// ResultOf translates the error of a call to the Coder API into a result of authcheck. A nil error
// is Accepted. This is the only place where the kinds of these errors become reasons. Errors of the
// Kubernetes API server are classified in controllers/reconcile/errors.go, those of the OAuth2
// provider and of templates in controllers/session/failure.go.
func ResultOf(err error) authcheck.Result {
	if err == nil {
		return authcheck.Result{Outcome: authcheck.Accepted}
	}
	var changing *ConfigChangingError
	if errors.As(err, &changing) {
		return authcheck.Result{Outcome: authcheck.ConfigChanging, Message: changing.Error()}
	}
	var failed *coder.Error
	if !errors.As(err, &failed) {
		return authcheck.Result{Outcome: authcheck.Unreachable, Reason: v1alpha1.ReasonUnreachable,
			Message: redact.Text(err.Error())}
	}
	v := authcheck.Result{Outcome: authcheck.Rejected, RetryAfter: RetryAfter(err)}
	v.Reason, v.AboutCaller = reasonOf(failed)
	v.Message = conditionMessage(v.Reason, failed)
	if v.Reason == v1alpha1.ReasonUnauthorized {
		v.Cause = strings.TrimSuffix(failed.Message, ".")
	}
	if failed.Kind.Transient() {
		v.Outcome = authcheck.Unreachable
	}
	v.NotFromServer = slices.Contains(foreignAnswers, failed.Kind)
	return v
}

// foreignAnswers are the kinds of answers that are not those of a Coder server.
var foreignAnswers = []coder.Kind{
	coder.Malformed, coder.EdgeRefused, coder.Redirected, coder.SpeaksHTTP, coder.SpeaksHTTPS,
}

// RetryAfter returns how long the server, or the operator's own rate limit, asks to wait.
func RetryAfter(err error) time.Duration {
	var busy *RateLimitedError
	if errors.As(err, &busy) {
		return busy.RetryAfter
	}
	var failed *coder.Error
	if errors.As(err, &failed) {
		return failed.RetryAfter
	}
	return 0
}

// reasons of the kinds that are not about the caller. Other kinds are UnexpectedAnswer.
var reasons = map[coder.Kind]string{
	coder.ServerCertificateUntrusted: v1alpha1.ReasonServerUntrusted,
	coder.Forbidden:                  v1alpha1.ReasonForbidden,
	coder.EdgeRefused:                v1alpha1.ReasonEdgeRefused,
	coder.Redirected:                 v1alpha1.ReasonRedirected,
	coder.AddressDenied:              v1alpha1.ReasonAddressDenied,
	coder.RateLimited:                v1alpha1.ReasonRateLimited,
	coder.Unavailable:                v1alpha1.ReasonUnreachable,
	coder.Canceled:                   v1alpha1.ReasonUnreachable,
}

// reasonOf returns the reason of a failure, and whether the failure is about the caller.
func reasonOf(e *coder.Error) (string, bool) {
	switch e.Kind {
	case coder.Unauthorized, coder.KeyExpired, coder.KeyUnknown:
		return v1alpha1.ReasonUnauthorized, true
	case coder.UserSuspended:
		return v1alpha1.ReasonUserSuspended, true
	case coder.ClientCertificateRejected:
		return v1alpha1.ReasonCertificateRejected, true
	case coder.ClientCertificateRequired:
		return v1alpha1.ReasonCertificateRequired, true
	case coder.ClientCertificateRefused:
		return refusedCertificate(e.Alert), true
	default:
		if reason, known := reasons[e.Kind]; known {
			return reason, false
		}
		return v1alpha1.ReasonUnexpectedAnswer, false
	}
}

// refusedCertificate returns the reason for TLS alerts that a renewed certificate does not resolve
// (B100).
func refusedCertificate(alert uint8) string {
	switch alert {
	case 43:
		return v1alpha1.ReasonCertificateUnsupported
	case 48:
		return v1alpha1.ReasonCertificateAuthorityUnknown
	case 49:
		return v1alpha1.ReasonCertificateAccessDenied
	}
	return v1alpha1.ReasonCertificateRejected
}

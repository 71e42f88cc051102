// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authcheck"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
)

// B100
func TestEveryKindOfFailureHasAResult(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err     coder.Error
		outcome authcheck.Outcome
		reason  string
		own     bool
	}{
		"unauthorized": {coder.Error{Kind: coder.Unauthorized}, authcheck.Rejected, v1alpha1.ReasonUnauthorized, true},
		"key expired":  {coder.Error{Kind: coder.KeyExpired}, authcheck.Rejected, v1alpha1.ReasonUnauthorized, true},
		"key unknown":  {coder.Error{Kind: coder.KeyUnknown}, authcheck.Rejected, v1alpha1.ReasonUnauthorized, true},
		"suspended":    {coder.Error{Kind: coder.UserSuspended}, authcheck.Rejected, v1alpha1.ReasonUserSuspended, true},
		"forbidden":    {coder.Error{Kind: coder.Forbidden}, authcheck.Rejected, v1alpha1.ReasonForbidden, false},
		"not found":    {coder.Error{Kind: coder.NotFound}, authcheck.Rejected, v1alpha1.ReasonUnexpectedAnswer, false},
		"conflict":     {coder.Error{Kind: coder.Conflict}, authcheck.Rejected, v1alpha1.ReasonUnexpectedAnswer, false},
		"invalid":      {coder.Error{Kind: coder.Invalid}, authcheck.Rejected, v1alpha1.ReasonUnexpectedAnswer, false},
		"malformed":    {coder.Error{Kind: coder.Malformed}, authcheck.Rejected, v1alpha1.ReasonUnexpectedAnswer, false},
		"edge refuses": {coder.Error{Kind: coder.EdgeRefused}, authcheck.Rejected, v1alpha1.ReasonEdgeRefused, false},
		"redirected": {coder.Error{Kind: coder.Redirected, Location: "https://of the weather"}, authcheck.Rejected,
			v1alpha1.ReasonRedirected, false},
		"nginx wants another": {coder.Error{Kind: coder.ClientCertificateRejected, Status: 400}, authcheck.Rejected,
			v1alpha1.ReasonCertificateRejected, true},
		"rate limited": {coder.Error{Kind: coder.RateLimited}, authcheck.Unreachable, v1alpha1.ReasonRateLimited, false},
		"unavailable":  {coder.Error{Kind: coder.Unavailable}, authcheck.Unreachable, v1alpha1.ReasonUnreachable, false},
		"canceled":     {coder.Error{Kind: coder.Canceled}, authcheck.Unreachable, v1alpha1.ReasonUnreachable, false},
		"untrusted": {coder.Error{Kind: coder.ServerCertificateUntrusted}, authcheck.Rejected,
			v1alpha1.ReasonServerUntrusted, false},
		"wants one": {coder.Error{Kind: coder.ClientCertificateRequired}, authcheck.Rejected,
			v1alpha1.ReasonCertificateRequired, true},
		"wants another": {coder.Error{Kind: coder.ClientCertificateRejected}, authcheck.Rejected,
			v1alpha1.ReasonCertificateRejected, true},
		"handshake (40)": {coder.Error{Kind: coder.ClientCertificateRefused, Alert: 40}, authcheck.Rejected,
			v1alpha1.ReasonCertificateRejected, true},
		"another sort": {coder.Error{Kind: coder.ClientCertificateRefused, Alert: 43}, authcheck.Rejected,
			v1alpha1.ReasonCertificateUnsupported, true},
		"another issuer": {coder.Error{Kind: coder.ClientCertificateRefused, Alert: 48}, authcheck.Rejected,
			v1alpha1.ReasonCertificateAuthorityUnknown, true},
		"another subject": {coder.Error{Kind: coder.ClientCertificateRefused, Alert: 49}, authcheck.Rejected,
			v1alpha1.ReasonCertificateAccessDenied, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.err.Op, tc.err.Message, tc.err.RetryAfter = coder.OpMe, "of the weather", time.Minute
			err := fmt.Errorf("look up: %w", &tc.err)
			want := authcheck.Result{Outcome: tc.outcome, Reason: tc.reason, AboutCaller: tc.own, RetryAfter: time.Minute}
			want.NotFromServer = slices.Contains([]string{"malformed", "edge refuses", "redirected"}, name)
			if tc.reason == v1alpha1.ReasonUnauthorized {
				want.Cause = "of the weather"
			}
			got := connection.ResultOf(err)
			if certificate := strings.HasPrefix(tc.reason, "Certificate"); got.Message == "" ||
				strings.Contains(got.Message, "of the weather") == certificate {
				t.Errorf("message: %s", got.Message)
			}
			got.Message = ""
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			changing := connection.ResultOf(fmt.Errorf("look up: %w", &connection.ConfigChangingError{Err: err}))
			if changing.Outcome != authcheck.ConfigChanging || changing.Reason != "" || changing.AboutCaller {
				t.Errorf("while settling: %+v, want ConfigChanging and nothing else", changing)
			}
		})
	}
}

func TestResultsWithoutAResponse(t *testing.T) {
	t.Parallel()
	if got := connection.ResultOf(nil); !got.OK() || got != (authcheck.Result{Outcome: authcheck.Accepted}) {
		t.Errorf("no error: %+v, want accepted", got)
	}
	for name, err := range map[string]error{"unresolved": connection.ErrUnresolved, "context": context.DeadlineExceeded} {
		if got := connection.ResultOf(err); got.Outcome != authcheck.Unreachable ||
			got.Reason != v1alpha1.ReasonUnreachable || got.AboutCaller {
			t.Errorf("%s: %+v, want unreachable", name, got)
		}
		if got := connection.RetryAfter(err); got != 0 {
			t.Errorf("%s: retry after %s", name, got)
		}
	}
}

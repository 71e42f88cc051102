// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// Each error of the API server is described by what it waits for, wrapped or not.
func TestErrorsOfTheAPIServer(t *testing.T) {
	t.Parallel()
	const refused, unavailable = v1alpha1.ReasonAPIServerRefused, v1alpha1.ReasonAPIServerUnavailable
	kind := schema.GroupKind{Kind: "Secret"}
	generic := func(code int) error {
		return apierrors.NewGenericServerResponse(code, "update", resource, "ci", "the server said so", 0, true)
	}
	for name, c := range map[string]struct {
		err        error
		class      failure.Class
		reason     string // empty: the observation is out of date
		retryAfter time.Duration
	}{
		"403 by a quota": {errForbid, failure.Refused, refused, 0},
		"403 by a policy": {apierrors.NewForbidden(resource, "ci", errors.New(
			`ValidatingAdmissionPolicy "no-tokens" denied request`)), failure.Refused, refused, 0},
		"403 by a webhook": {generic(http.StatusForbidden), failure.Refused, refused, 0},
		"403 by RBAC": {apierrors.NewForbidden(resource, "ci", errors.New(
			`User "operator" cannot update resource "secrets"`)), failure.Refused, refused, 0},
		"400":                 {apierrors.NewBadRequest("no JSON"), failure.Refused, refused, 0},
		"400 by a webhook":    {generic(http.StatusBadRequest), failure.Refused, refused, 0},
		"401":                 {apierrors.NewUnauthorized("no token"), failure.Refused, refused, 0},
		"405":                 {apierrors.NewMethodNotSupported(resource, "patch"), failure.Refused, refused, 0},
		"408 by a proxy":      {generic(http.StatusRequestTimeout), failure.Unavailable, unavailable, 0},
		"413":                 {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), failure.Refused, refused, 0},
		"415":                 {generic(http.StatusUnsupportedMediaType), failure.Refused, refused, 0},
		"422":                 {apierrors.NewInvalid(kind, "ci", field.ErrorList{}), failure.Refused, refused, 0},
		"429 with a delay":    {apierrors.NewTooManyRequests("slow down", 7), failure.Wait, unavailable, 7 * time.Second},
		"429 without a delay": {apierrors.NewTooManyRequestsError("slow down"), failure.Wait, unavailable, 0},
		"500":                 {errOfAPI, failure.Unavailable, unavailable, 0},
		"500 that names a delay": {
			apierrors.NewServerTimeout(resource, "update", 3), failure.Unavailable, unavailable, 0},
		"502": {generic(http.StatusBadGateway), failure.Unavailable, unavailable, 0},
		"503": {apierrors.NewServiceUnavailable("starting"), failure.Unavailable, unavailable, 0},
		"504": {apierrors.NewTimeoutError("too slow", 1), failure.Unavailable, unavailable, 0},
		"a webhook away": {
			apierrors.NewInternalError(errors.New("failed calling webhook")), failure.Unavailable, unavailable, 0},
		"a deadline":      {context.DeadlineExceeded, failure.Unavailable, unavailable, 0},
		"a shutdown":      {context.Canceled, failure.Unavailable, unavailable, 0},
		"a closed stream": {io.ErrUnexpectedEOF, failure.Unavailable, unavailable, 0},
		"another error":   {errors.New("unknown action"), failure.Unavailable, unavailable, 0},

		"404":                           {apierrors.NewNotFound(resource, "ci"), 0, "", 0},
		"409 by a version":              {errConflict, 0, "", 0},
		"409 because it exists already": {apierrors.NewAlreadyExists(resource, "ci"), 0, "", 0},
		"an action's own finding":       {reconcile.ErrOutdated, 0, "", 0},
	} {
		for how, err := range map[string]error{name: c.err, name + ", wrapped": fmt.Errorf("write Secret ci: %w", c.err)} {
			t.Run(how, func(t *testing.T) {
				t.Parallel()
				checkFailure(t, failWith(t, err), c.class, c.reason, c.retryAfter, c.err)
			})
		}
	}
}

// A refusal is counted by a reason that apimachinery knows, and by Other if a webhook has chosen one: it
// becomes a label of a metric. Other errors are not counted.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	chosen := &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusForbidden, Reason: "NoTokensOnFridays"}}
	for name, c := range map[string]struct {
		err  error
		want string // empty: none
	}{
		"forbidden":             {errForbid, "Forbidden"},
		"wrapped":               {fmt.Errorf("write Secret ci: %w", errForbid), "Forbidden"},
		"a reason of a webhook": {chosen, "Other"},
		"unavailable":           {apierrors.NewServiceUnavailable("starting"), ""},
		"a conflict":            {errConflict, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newToy(t)
			w.kind.decide = unlessFailed("Publish")
			w.kind.act = func(string) error { return c.err }
			w.pass()
			if got := strings.Join(w.refused, ","); got != c.want {
				t.Errorf("counted %q, want %q", got, c.want)
			}
		})
	}
}

// failWith returns the failure that the decision knows of after an action failed with an error; nil:
// none, and nothing was reported.
func failWith(t *testing.T, err error) *failure.Failure {
	t.Helper()
	w := newToy(t)
	w.kind.decide = unlessFailed("Publish")
	w.kind.act = func(string) error { return err }
	w.pass()
	w.wantCalls("act Publish", 1)
	f := w.kind.failures.Of("Publish")
	w.wantCalls("reported", map[bool]int{true: 1}[f != nil])
	return f
}

func checkFailure(
	t *testing.T, f *failure.Failure, class failure.Class, reason string, retryAfter time.Duration, err error,
) {
	t.Helper()
	switch {
	case reason == "":
		if f != nil {
			t.Errorf("it counts as failed: %+v", f)
		}
	case f == nil:
		t.Error("it counts as out of date")
	case f.Class != class || f.Reason != reason || f.RetryAfter != retryAfter:
		t.Errorf("class %d, reason %s, retry after %s; want %d, %s, %s", f.Class, f.Reason, f.RetryAfter, class, reason,
			retryAfter)
	case !strings.Contains(f.Message, err.Error()):
		t.Errorf("message %q does not quote %q", f.Message, err)
	}
}

// B90: the message of a failure holds no credentials.
func TestMessagesOfFailuresAreRedacted(t *testing.T) {
	t.Parallel()
	const credential = "a1B2c3D4e5-sentinelsentinelsenti1"
	for _, err := range []error{
		errors.New("send " + credential), apierrors.NewBadRequest("no JSON: " + credential),
	} {
		f := failWith(t, err)
		if f == nil || strings.Contains(f.Message, "sentinel") {
			t.Errorf("failure %+v", f)
		}
	}
}

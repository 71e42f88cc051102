// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/shifted"
)

// What another writer puts into a status: a condition that the operator does not know, and one that
// it does.
var (
	foreignCondition = metav1.Condition{
		Type: "Blessed", Status: metav1.ConditionTrue, Reason: "Yes", LastTransitionTime: metav1.Unix(1, 0),
	}
	foreignReady = metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "No"}
)

// sameStatus compares statuses. A condition that was lost returns with the time of its return.
// What is not told again: a token that a status has named is listed until its overlap is over, and
// a token that it has not named counts as used when it is.
var sameStatus = cmp.Options{
	cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime"),
	cmpopts.IgnoreFields(v1alpha1.CoderSessionStatus{}, "PendingRevocations", "LastActivityTime"),
	cmpopts.IgnoreFields(v1alpha1.CoderDeploymentStatus{}, "LastVerifiedTime"),
	cmpopts.SortSlices(func(a, b metav1.Condition) bool { return a.Type < b.Type }),
}

// B119: what another writer puts into the status of a session stays no longer than an interval.
func TestAForeignStatusOfASessionIsCorrected(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"), func(ctx context.Context) error {
		s, err := w.GetSession(ctx, "ci")
		if err == nil && (s.Status.Token == nil || s.Status.Token.IssueTime == nil || s.Status.NextRefreshTime == nil) {
			err = errors.New("the status is not complete yet")
		}
		return err
	})
	for name, change := range map[string]func(*v1alpha1.CoderSessionStatus){
		"no conditions": func(s *v1alpha1.CoderSessionStatus) { s.Conditions = nil },
		"the conditions of an earlier operator": func(s *v1alpha1.CoderSessionStatus) {
			for _, kind := range []string{v1alpha1.ConditionAuthenticated, v1alpha1.ConditionSecretSynced} {
				former := foreignCondition
				former.Type, former.ObservedGeneration = kind, 1
				s.Conditions = append(s.Conditions, former)
			}
			s.Conditions[0].ObservedGeneration = 1
		},
		"a foreign condition": func(s *v1alpha1.CoderSessionStatus) { s.Conditions = append(s.Conditions, foreignCondition) },
		"not ready": func(s *v1alpha1.CoderSessionStatus) {
			meta.SetStatusCondition(&s.Conditions, foreignReady)
		},
		"another token":  func(s *v1alpha1.CoderSessionStatus) { s.Token.ID = "aaaaaaaaaa" },
		"no token":       func(s *v1alpha1.CoderSessionStatus) { s.Token = nil },
		"another Secret": func(s *v1alpha1.CoderSessionStatus) { s.Secret.Name = "elsewhere" },
		"an old spec":    func(s *v1alpha1.CoderSessionStatus) { s.ObservedGeneration = 0 },
		"a suspension": func(s *v1alpha1.CoderSessionStatus) {
			s.Suspension = &v1alpha1.Suspension{Reason: "No", StartTime: metav1.Now()}
		},
		"another refresh": func(s *v1alpha1.CoderSessionStatus) { s.NextRefreshTime = nil },
	} {
		want := w.CurrentSession("ci").Status
		w.Must(w.writeSessionStatus("ci", change))
		w.within(3*time.Second, func(ctx context.Context) error {
			s, err := w.GetSession(ctx, "ci")
			if err != nil {
				return err
			}
			if diff := cmp.Diff(want, s.Status, sameStatus); diff != "" {
				return fmt.Errorf("%s (-want +got):\n%s", name, diff)
			}
			return nil
		}, w.IsReady("ci"))
	}
	if got := w.CountMints(); got != 1 {
		t.Errorf("%d tokens were minted", got)
	}
	w.Eventually(w.hasLiveTokens(1))
}

// writeSessionStatus changes a session's status as another controller would.
func (w *operatorEnv) writeSessionStatus(name string, change func(*v1alpha1.CoderSessionStatus)) error {
	s, err := w.GetSession(w.T.Context(), name)
	if err != nil {
		return err
	}
	change(&s.Status)
	return w.Client.Status().Update(w.T.Context(), s)
}

// writeDeploymentStatus changes a deployment's status as another controller would. It returns what the
// status was.
func (w *operatorEnv) writeDeploymentStatus(
	name string, change func(*v1alpha1.CoderDeploymentStatus),
) (was v1alpha1.CoderDeploymentStatus) {
	w.Must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		d, err := w.GetDeployment(w.T.Context(), name)
		if err != nil {
			return err
		}
		was = *d.Status.DeepCopy()
		change(&d.Status)
		return w.Client.Status().Update(w.T.Context(), d)
	}))
	return was
}

// B119: so with the status of a deployment.
func TestAForeignStatusOfADeploymentIsCorrected(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"), w.hasSessionCount(1), func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, "prod")
		if err == nil && (d.Status.Sessions == nil || d.Status.Sessions.Ready != 1) {
			err = errors.New("the session is not counted yet")
		}
		return err
	})
	for name, change := range map[string]func(*v1alpha1.CoderDeploymentStatus){
		"no conditions": func(d *v1alpha1.CoderDeploymentStatus) { d.Conditions = nil },
		"a foreign condition": func(d *v1alpha1.CoderDeploymentStatus) {
			d.Conditions = append(d.Conditions, foreignCondition)
		},
		"not ready": func(d *v1alpha1.CoderDeploymentStatus) {
			meta.SetStatusCondition(&d.Conditions, foreignReady)
		},
		"another version":   func(d *v1alpha1.CoderDeploymentStatus) { d.Version = "v0.0.1" },
		"another id":        func(d *v1alpha1.CoderDeploymentStatus) { d.DeploymentID = "elsewhere" },
		"other sessions":    func(d *v1alpha1.CoderDeploymentStatus) { d.Sessions.Total = 7 },
		"no user":           func(d *v1alpha1.CoderDeploymentStatus) { d.User = nil },
		"an old spec":       func(d *v1alpha1.CoderDeploymentStatus) { d.ObservedGeneration = 0 },
		"another end":       func(d *v1alpha1.CoderDeploymentStatus) { d.TokenExpirationTime = nil },
		"another end of it": func(d *v1alpha1.CoderDeploymentStatus) { d.ClientCertificateExpirationTime = nil },
	} {
		want := w.writeDeploymentStatus("prod", change)
		w.within(3*time.Second, func(ctx context.Context) error {
			d, err := w.GetDeployment(ctx, "prod")
			if err != nil {
				return err
			}
			if diff := cmp.Diff(want, d.Status, sameStatus); diff != "" {
				return fmt.Errorf("%s (-want +got):\n%s", name, diff)
			}
			return nil
		})
	}
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1))
}

// B115: no timer of the operator is longer than an interval. After the machine has slept for a day
// what was due meanwhile is done within one.
func TestAfterSleepWhatWasDueIsDone(t *testing.T) {
	c := &shifted.Clock{}
	w := newEnv(t, withMTLS, withClock(c))
	w.startOperator()
	w.Create(w.newDeployment("prod", withInterval("1s")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	// A rotation is due 8 h before the end.
	for serial := range int64(3) {
		c.Shift(17 * time.Hour)
		w.within(4*time.Second, w.hasSerial("ci", serial+2), w.IsReady("ci"))
	}
	c.Shift(36 * time.Hour)
	w.within(4*time.Second, w.hasSerial("ci", 5), w.IsReady("ci"))
	w.Eventually(w.hasLiveTokens(1))
}

// B111: a user whose name is longer than a status can be leaves both objects with one.
func TestAUserWithAHugeName(t *testing.T) {
	w := newEnv(t, withMTLS)
	huge := strings.Repeat("n", 100_000)
	edge := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		w.Coder.ServeHTTP(answer, r)
		body := answer.Body.String()
		if r.URL.Path == "/api/v2/users/me" {
			body = strings.Replace(body, `"username":"operator"`, `"username":"`+huge+`"`, 1)
		}
		rw.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		for _, name := range []string{"Date", "X-Coder-Build-Version"} {
			if value := answer.Header().Get(name); value != "" {
				rw.Header().Set(name, value)
			}
		}
		rw.WriteHeader(answer.Code)
		_, _ = rw.Write([]byte(body))
	}))
	t.Cleanup(edge.Close)
	w.startOperator()
	w.Create(w.newDeployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) { spec.URL, spec.TLS = edge.URL, nil }),
		w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsVerified("prod"), w.DeploymentIs("prod", v1alpha1.ConditionReady, "True", v1alpha1.ReasonVerified,
		"nnn…"), w.IsReady("ci"), w.hasWarnings(0))
	d, err := w.GetDeployment(t.Context(), "prod")
	w.Must(err)
	user := d.Status.User
	if user == nil || len(user.Username) > 1024 || d.Status.Version == "" || d.Status.DeploymentID == "" {
		t.Errorf("the status is %+v", d.Status)
	}
}

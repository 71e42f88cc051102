// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// asked is the annotation's value at noon.
const asked = "2026-03-01T12:00:00Z"

// deploymentReports writes a deployment's status.
func (w *pluginEnv) deploymentReports(name string, change func(*v1alpha1.CoderDeployment)) {
	w.t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		d := &v1alpha1.CoderDeployment{}
		if err := w.cluster.Client.Get(
			w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, d); err != nil {
			return err
		}
		change(d)
		return w.cluster.Client.Status().Update(w.t.Context(), d)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// waitForRequest waits for a request on a session and returns its value.
func (r *run) waitForRequest(name string) string {
	r.t.Helper()
	s := &v1alpha1.CoderSession{}
	r.waitUntil("it asks", func() bool {
		return r.cluster.Client.Get(r.t.Context(), types.NamespacedName{Namespace: r.namespace, Name: name},
			s) == nil && s.RenewalRequest() != ""
	})
	return s.RenewalRequest()
}

// withHandledRenewal plays the operator: it reports that the request was handled.
func withHandledRenewal(value string) report {
	return func(s *v1alpha1.CoderSession) { s.Status.LastHandledRenewAt = value }
}

func newToken(s *v1alpha1.CoderSession) { s.Status.Token.ID = "n3wT0k3n00" }

func TestRenewAsksAndWaitsForTheNewCredential(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(mintedSession(w.namespace, "ci", "", "prod", withHandledRenewal("2026-02-01T12:00:00Z")))
	r := w.coder("renew", "ci")
	if got := r.waitForRequest("ci"); got != asked {
		t.Errorf("the request is %q, want %q", got, asked)
	}
	w.reportStatus("ci", withReady, withCondition(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse,
		v1alpha1.ReasonRolling, "0 of 1 workloads"))
	r.waitForText(r.err, "TargetsRestarted=False Rolling: 0 of 1 workloads\n")
	w.reportStatus("ci", withReady, newToken, withHandledRenewal(asked))
	r.waitForExit(cli.ExitOK)
	want := strings.ReplaceAll(`Session NS/ci is renewed: it has token n3wT0k3n00
  User:     ada
  Secret:   NS/ci
  Expires:  2026-03-02T12:00:00Z (in 24h)
  Renewal:  2026-03-02T04:00:00Z (in 16h)
`, "NS", w.namespace)
	if diff := cmp.Diff(want, r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("Ready=True Active: all is well\nTargetsRestarted=False Rolling: 0 of 1 workloads\n",
		r.err.String()); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}
}

// B27
func TestRenewBringsBackARetiredSession(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(mintedSession(w.namespace, "ci", "", "prod", isNot(v1alpha1.ReasonRetired, "it was not used")))
	r := w.coder("renew", "ci")
	r.waitForRequest("ci")
	w.reportStatus("ci", notReady(v1alpha1.ReasonVerifying, "on its way"))
	r.waitForText(r.err, "Ready=False Retired: it was not used\nReady=False Verifying: on its way\n")
	w.reportStatus("ci", withReady, withHandledRenewal(asked))
	r.waitForExit(cli.ExitOK)
}

// Another client has made a later request, and the operator has handled only that.
func TestALaterRequestIsAsGood(t *testing.T) {
	for name, value := range map[string]string{"later": "2026-03-01T12:00:00.5Z",
		"in another zone": "2026-03-01T14:00:01+02:00"} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createObjects(mintedSession(w.namespace, "ci", "", "prod"))
			r := w.coder("renew", "ci")
			r.waitForRequest("ci")
			// the next output shows that the command has not ended here
			for _, reason := range []string{"Earlier", "StillEarlier"} {
				w.reportStatus("ci", withReady, withHandledRenewal("2026-03-01T11:59:59Z"),
					withCondition("Other", metav1.ConditionTrue, reason, "an earlier one is none"))
				r.waitForText(r.err, "Other=True "+reason)
			}
			w.reportStatus("ci", withReady, withHandledRenewal(value))
			r.waitForExit(cli.ExitOK)
		})
	}
}

func TestRenewDoesNotAskWhereItIsOfNoUse(t *testing.T) {
	for reason, hint := range map[string]string{
		v1alpha1.ReasonAwaitingAuthorization:    ": run kubectl coder login -n NS ci",
		v1alpha1.ReasonReauthenticationRequired: ": run kubectl coder login -n NS ci",
		v1alpha1.ReasonPaused:                   ": why it is so",
		v1alpha1.ReasonAccessDenied:             ": why it is so",
		v1alpha1.ReasonSecretConflict:           ": why it is so",
		v1alpha1.ReasonWorkspaceStopped:         ": why it is so",
		v1alpha1.ReasonWorkspaceUnknown:         ": why it is so",
	} {
		t.Run(reason, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createObjects(mintedSession(w.namespace, "ci", "", "prod", isNot(reason, "why it is so")))
			r := w.coder("renew", "ci")
			r.waitForExit(cli.ExitBlocked)
			r.waitForText(r.err,
				"error: session "+w.namespace+"/ci is "+reason+strings.ReplaceAll(hint, "NS", w.namespace))
			s := &v1alpha1.CoderSession{}
			if err := w.cluster.Client.Get(
				t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "ci"}, s); err != nil {
				t.Fatal(err)
			}
			if s.RenewalRequest() != "" {
				t.Error("it has asked")
			}
		})
	}
}

// What is refused ends the command as soon as the operator has tried for the request, and not before.
func TestRenewEndsWithTheRefusal(t *testing.T) {
	observed := func(value string) report {
		return func(s *v1alpha1.CoderSession) { s.Status.ObservedRenewAt = value }
	}
	for _, reason := range []string{v1alpha1.ReasonSuspended, v1alpha1.ReasonConfigInvalid} {
		t.Run(reason, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createObjects(mintedSession(w.namespace, "ci", "", "prod", isNot(reason, "as before"),
				observed("2026-02-01T12:00:00Z")))
			r := w.coder("renew", "ci")
			r.waitForRequest("ci")
			w.reportStatus("ci", isNot(v1alpha1.ReasonAwaitingDeployment, "no answer"), observed(asked))
			r.waitForText(r.err, "AwaitingDeployment") // that may pass
			w.reportStatus("ci", isNot(reason, "the server says no"), observed(asked))
			r.waitForExit(cli.ExitBlocked)
			r.waitForText(r.err, "error: session "+w.namespace+"/ci is "+reason+": the server says no. The request stands")
		})
	}
}

func TestRenewThatHasNoGoodOutcome(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		w := newPluginEnv(t)
		w.createObjects(mintedSession(w.namespace, "ci", "", "prod", isNot(v1alpha1.ReasonConfigInvalid, "no such user")))
		r := w.coder("renew", "ci")
		r.waitForRequest("ci")
		r.clock.Step(time.Minute)
		r.waitForExit(cli.ExitTimedOut)
		r.waitForText(r.err, "error: no outcome within 1m0s: session "+
			w.namespace+"/ci is ConfigInvalid: no such user. The request stands")
	})
	t.Run("not ready with it", func(t *testing.T) {
		w := newPluginEnv(t)
		w.createObjects(mintedSession(w.namespace, "ci", "", "prod"))
		r := w.coder("renew", "ci")
		r.waitForRequest("ci")
		w.reportStatus("ci", notReady(v1alpha1.ReasonConfigInvalid, "no such user"), withHandledRenewal(asked))
		r.waitForExit(cli.ExitBlocked)
		r.waitForText(r.err, "error: session "+w.namespace+"/ci is ConfigInvalid: no such user\n")
	})
	t.Run("none without the object", func(t *testing.T) {
		w := newPluginEnv(t)
		r := w.coder("renew", "ci")
		r.waitForExit(cli.ExitUnreachable)
		r.waitForText(r.err, `session "ci" does not exist in namespace`)
	})
	t.Run("deleted meanwhile", func(t *testing.T) {
		w := newPluginEnv(t)
		s := mintedSession(w.namespace, "ci", "", "prod")
		w.createObjects(s)
		r := w.coder("renew", "ci")
		r.waitForRequest("ci")
		if err := w.cluster.Client.Delete(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		r.waitForExit(cli.ExitUnreachable)
		r.waitForText(r.err, "is being deleted, or is gone")
	})
	t.Run("a wait for a person", func(t *testing.T) {
		w := newPluginEnv(t)
		w.createObjects(mintedSession(w.namespace, "ci", "", "prod"))
		r := w.coder("renew", "ci")
		r.waitForRequest("ci")
		w.reportStatus("ci", notReady(v1alpha1.ReasonReauthenticationRequired, "the grant has ended"))
		r.waitForExit(cli.ExitBlocked)
	})
	t.Run("no name", func(t *testing.T) {
		w := newPluginEnv(t)
		r := w.coder("renew")
		r.waitForExit(cli.ExitFailed)
		r.waitForText(r.err, "name one session: kubectl coder renew SESSION")
	})
	t.Run("no right to ask", func(t *testing.T) {
		w := newPluginEnv(t)
		w.createObjects(mintedSession(w.namespace, "ci", "", "prod"))
		l := newLink(w)
		l.refuses.Store(new("PATCH"))
		r := w.coder("renew", "ci", "--server", l.URL)
		r.waitForExit(cli.ExitUnreachable)
		r.waitForText(r.err, "cannot write the session")
	})
}

func TestVerifyAsksAndSaysTheOutcome(t *testing.T) {
	const message = "the server refuses the token"
	type scene struct {
		outcome func(*v1alpha1.CoderDeployment)
		code    int
		out     string
		err     string
	}
	for name, s := range map[string]scene{
		"accepted": {
			outcome: func(*v1alpha1.CoderDeployment) {}, code: cli.ExitOK,
			out: "Deployment NS/prod is verified: the server https://prod.example.com accepts its settings\n" +
				"  User:     operator\n  Version:  v2.36.1+abc1234\n",
			err: "Ready=True Verified: the server knows the operator as user \"operator\"\n",
		},
		"refused": {
			outcome: deploymentSays(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnauthorized,
				message), code: cli.ExitBlocked,
			err: "Ready=True Verified: the server knows the operator as user \"operator\"\nReady=False Unauthorized: " +
				message +
				"\nerror: deployment NS/prod is Unauthorized: " + message +
				"; write a valid token to Secret NS/coder-operator-token, key token\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t)
			w.createObjects(newDeployment(w.namespace, "prod"))
			r := w.coder("verify", "prod")
			d := &v1alpha1.CoderDeployment{}
			r.waitUntil("it asks", func() bool {
				return w.cluster.Client.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "prod"},
					d) == nil && d.VerificationRequest() == asked
			})
			w.deploymentReports("prod", func(d *v1alpha1.CoderDeployment) {
				s.outcome(d)
				d.Status.LastHandledVerifyAt = asked
			})
			r.waitForExit(s.code)
			if diff := cmp.Diff(strings.ReplaceAll(s.out, "NS", w.namespace), r.out.String()); diff != "" {
				t.Errorf("standard output (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(strings.ReplaceAll(s.err, "NS", w.namespace), r.err.String()); diff != "" {
				t.Errorf("standard error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerifyThatHasNoOutcome(t *testing.T) {
	w := newPluginEnv(t)
	d := newDeployment(w.namespace, "prod")
	meta.RemoveStatusCondition(&d.Status.Conditions, v1alpha1.ConditionReady)
	w.createObjects(d)
	r := w.coder("verify", "prod", "--timeout", "5s")
	r.waitUntil("it asks", func() bool {
		return w.cluster.Client.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: "prod"},
			d) == nil && d.VerificationRequest() != ""
	})
	r.clock.Step(5 * time.Second)
	r.waitForExit(cli.ExitTimedOut)
	r.waitForText(r.err, "has not been looked at by the operator yet. The request stands")
}

// An object that was recreated with the same name does not get the request.
func TestOnlyTheObjectThatWasSeenIsAsked(t *testing.T) {
	w := newPluginEnv(t)
	s := mintedSession(w.namespace, "ci", "", "prod")
	w.createObjects(s)
	l := newLink(w)
	l.beforePatch = func() {
		if err := w.cluster.Client.Delete(t.Context(), s); err != nil {
			t.Error(err)
		}
		w.createObjects(mintedSession(w.namespace, "ci", "", "prod"))
	}
	r := w.coder("renew", "ci", "--server", l.URL)
	r.waitForExit(cli.ExitUnreachable)
	r.waitForText(r.err, "was deleted and recreated meanwhile")
}

// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B170: the objects of a former version are converted as docs/operations/upgrade.md says. The operator of
// this version goes on with every token: it mints and revokes none, and what was paused, retired or about
// to be revoked stays so.
func TestUpgradeKeepsEveryToken(t *testing.T) {
	w := newUpgradeEnv(t)
	tokens := w.liveTokens()
	former, _ := w.requirePlugin(cli.ExitOK, "convert")
	file := filepath.Join(t.TempDir(), "converted.yaml")
	w.Must(os.WriteFile(file, []byte(former), 0o600))

	// Under the former CRDs the present names would be dropped.
	_, stderr := w.requirePlugin(cli.ExitBlocked, "convert", "-f", file, "--write")
	if !strings.Contains(stderr, "install those of this version first") {
		t.Errorf("it says %s", stderr)
	}
	w.installCRDs()
	w.requirePlugin(cli.ExitOK, "convert", "-f", file, "--write")
	w.requireWritten()
	written := w.resourceVersions()
	w.requirePlugin(cli.ExitOK, "convert", "-f", file, "--write")
	if diff := cmp.Diff(written, w.resourceVersions()); diff != "" {
		t.Errorf("the second time it wrote something (-before +after):\n%s", diff)
	}

	w.Coder.ResetLog()
	start := metav1.NewTime(time.Now().Truncate(time.Second))
	w.startOperator()
	w.Eventually(w.IsReady("ci"), w.IsReady("returned"), w.IsReady("supplied"),
		w.IsNotReady("paused", v1alpha1.ReasonPaused, "spec.paused"),
		w.isVerifiedAfter("prod", start), w.isVerifiedAfter("small", start))
	// A regular verification more: the list of tokens is compared with the sessions by then.
	next := metav1.NewTime(time.Now().Add(time.Second))
	w.Eventually(w.isVerifiedAfter("prod", next), w.isVerifiedAfter("small", next))
	if mints := w.CountMints(); mints != 0 {
		t.Errorf("%d tokens were minted", mints)
	}
	if diff := cmp.Diff(tokens, w.liveTokens()); diff != "" {
		t.Errorf("tokens on the server (-before +after):\n%s", diff)
	}
	w.requireSameSessions()
}

// liveTokens are the names of the live tokens by their ids.
func (w *upgradeEnv) liveTokens() map[string]string {
	tokens := map[string]string{}
	for _, key := range w.Coder.Keys(coderd.KeyFilter{Live: true}) {
		tokens[key.ID] = key.Name
	}
	return tokens
}

// resourceVersions of all sessions and deployments.
func (w *upgradeEnv) resourceVersions() map[string]string {
	w.T.Helper()
	versions := map[string]string{}
	for _, name := range []string{"ci", "paused", "retired", "returned", "supplied"} {
		versions[name] = w.CurrentSession(name).ResourceVersion
	}
	for _, name := range []string{"prod", "small"} {
		d, err := w.GetDeployment(w.T.Context(), name)
		w.Must(err)
		versions[name] = d.ResourceVersion
	}
	return versions
}

// requireWritten checks that nothing was lost with the former names.
func (w *upgradeEnv) requireWritten() {
	w.T.Helper()
	paused := w.CurrentSession("paused")
	if !paused.Spec.Paused || paused.Status.ObservedGeneration != paused.Generation {
		w.T.Errorf("session paused is %+v, %+v", paused.Spec, paused.Status)
	}
	d, err := w.GetDeployment(w.T.Context(), "prod")
	w.Must(err)
	if len(d.Spec.Access) != 2 || d.Spec.Access[0].Name != "rule-1" || d.Spec.Access[1].Name != "rule-2" {
		w.T.Errorf("its access rules are %+v", d.Spec.Access)
	}
	if d.Status.TokenExpirationTime == nil {
		w.T.Error("the end of the operator's token is lost")
	}
	w.requireSameStatus()
}

// requireSameStatus checks what only status knows.
func (w *upgradeEnv) requireSameStatus() {
	w.T.Helper()
	if is := w.CurrentSession("ci").Status.PendingRevocations; len(is) != 1 || is[0].ID != "iV2WrPOEoJ" ||
		w.isNot("revocation", &is[0].RevokeTime) {
		w.T.Errorf("what waits for its revocation is %+v", is)
	}
	if is := w.CurrentSession("returned").Status.LastActivityTime; w.isNot("start", is) {
		w.T.Errorf("the retired session returned at %v", is)
	}
	if is := w.CurrentSession("retired").Status.Retirement; is == nil || w.isNot("start", &is.StartTime) ||
		w.isNot("start", &is.LastActiveTime) {
		w.T.Errorf("the retirement is %+v", is)
	}
}

// isNot reports whether a time is not that of the former operator's state.
func (w *upgradeEnv) isNot(name string, is *metav1.Time) bool {
	return is == nil || is.UTC().Format(time.RFC3339) != w.values.Time[name]
}

// requireSameSessions checks that every session is what it was under the former operator.
func (w *upgradeEnv) requireSameSessions() {
	w.T.Helper()
	w.requireSameStatus()
	for name, reason := range map[string]string{
		"paused": v1alpha1.ReasonPaused, "retired": v1alpha1.ReasonRetired,
	} {
		w.Must(w.IsNotReady(name, reason, "")(w.T.Context()))
	}
	published := map[string]string{"supplied": suppliedToken}
	for _, token := range formerTokens {
		published[token.session] = token.value
	}
	for name, value := range published {
		if got := string(w.CurrentSecret(name).Data["session"]); got != value {
			w.T.Errorf("Secret %s publishes %q", name, got)
		}
		id, _, _ := strings.Cut(value, "-")
		if status := w.CurrentSession(name).Status.Token; status == nil || status.ID != id {
			w.T.Errorf("the token of session %s is %+v", name, status)
		}
	}
}

// isVerifiedAfter holds once a deployment was verified after a time.
func (w *upgradeEnv) isVerifiedAfter(name string, after metav1.Time) func(context.Context) error {
	return func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, name)
		if err == nil && (d.Status.LastVerifiedTime == nil || !after.Before(d.Status.LastVerifiedTime)) {
			err = fmt.Errorf("deployment %s was last verified at %v", name, d.Status.LastVerifiedTime)
		}
		return err
	}
}

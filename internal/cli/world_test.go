// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// noon is the start time of the plugin's clock.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// consentURL is an authorization URL as the operator makes it.
const consentURL = "https://coder.example.com/oauth2/authorize?client_id=6f0e6f6e-0000-4000-8000-000000000001" +
	"&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" +
	"&redirect_uri=https%3A%2F%2Fcallback.example.com%2Foauth%2Fcallback&response_type=code&state="

func newClock() *clocktesting.FakeClock { return clocktesting.NewFakeClock(noon) }

// pluginEnv is a namespace of a real API server, in which a test plays the operator.
type pluginEnv struct {
	t         testing.TB
	cluster   *kube.Cluster
	namespace string
}

func newPluginEnv(t *testing.T) *pluginEnv {
	t.Helper()
	t.Parallel()
	cluster := kube.ForTest(t)
	return &pluginEnv{t: t, cluster: cluster, namespace: cluster.Namespace(t, nil)}
}

// createSession creates a session; nil means auth.oauth.
func (w *pluginEnv) createSession(name string, auth *v1alpha1.Auth) {
	w.t.Helper()
	if auth == nil {
		auth = &v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}
	}
	s := &v1alpha1.CoderSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: "prod"}, Auth: *auth},
	}
	if err := w.cluster.Client.Create(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
}

// report changes a part of a session's status.
type report func(*v1alpha1.CoderSession)

// reportStatus writes a complete status for the current generation.
func (w *pluginEnv) reportStatus(name string, parts ...report) {
	w.t.Helper()
	w.changeSession(name, true, func(s *v1alpha1.CoderSession) {
		s.Status = v1alpha1.CoderSessionStatus{ObservedGeneration: s.Generation}
		for _, part := range parts {
			part(s)
		}
	})
}

func (w *pluginEnv) changeSession(name string, status bool, change func(*v1alpha1.CoderSession)) {
	w.t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		s := &v1alpha1.CoderSession{}
		if err := w.cluster.Client.Get(
			w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, s); err != nil {
			return err
		}
		change(s)
		if status {
			return w.cluster.Client.Status().Update(w.t.Context(), s)
		}
		return w.cluster.Client.Update(w.t.Context(), s)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// notReady sets the reason, and the rest of the message.
func notReady(reason, message string) report {
	return func(s *v1alpha1.CoderSession) {
		meta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message,
		})
	}
}

// awaitingConsent is the status of a session that waits for a consent.
func awaitingConsent() report {
	return notReady(v1alpha1.ReasonAwaitingAuthorization, "a person has to consent")
}

// withReady is the status of a session with a credential.
func withReady(s *v1alpha1.CoderSession) {
	meta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonActive,
		Message: "all is well",
	})
	s.Status.User = &v1alpha1.SessionUser{ID: "6f0e6f6e-0000-4000-8000-000000000002", Username: "ada"}
	expires, next := metav1.NewTime(noon.Add(24*time.Hour)), metav1.NewTime(noon.Add(16*time.Hour))
	s.Status.Token = &v1alpha1.TokenStatus{ID: "a1B2c3D4e5", ExpirationTime: &expires}
	s.Status.NextRefreshTime = &next
}

// asksConsent reports a URL that was made that long after noon, and is valid for ten minutes.
func asksConsent(url string, made time.Duration) report {
	return func(s *v1alpha1.CoderSession) {
		s.Status.Authorization = &v1alpha1.Authorization{URL: url,
			ExpirationTime: metav1.NewTime(noon.Add(made + 10*time.Minute))}
	}
}

// run is a running plugin.
type run struct {
	*pluginEnv
	clock     *clocktesting.FakeClock
	out, err  *output
	opened    *output // a line for each URL that the browser was opened with
	code      chan int
	interrupt context.CancelFunc
}

// coder starts the plugin as the admin of the cluster, in the test's namespace.
func (w *pluginEnv) coder(args ...string) *run {
	return w.coderWith(w.cluster.Kubeconfig, args...)
}

func (w *pluginEnv) coderWith(kubeconfig string, args ...string) *run {
	w.t.Helper()
	return w.startPlugin(kubeconfig, nil, args...)
}

// coderOn starts it with another environment.
func (w *pluginEnv) coderOn(change func(*cli.Environment), args ...string) *run {
	w.t.Helper()
	return w.startPlugin(w.cluster.Kubeconfig, change, args...)
}

func (w *pluginEnv) startPlugin(kubeconfig string, change func(*cli.Environment), args ...string) *run {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{
		pluginEnv: w, clock: newClock(), out: &output{}, err: &output{}, opened: &output{},
		code: make(chan int, 1), interrupt: cancel,
	}
	environment := cli.Environment{Out: r.out, Err: r.err, Clock: r.clock, Version: "v0.0.0-test",
		Open: func(url string) error {
			_, err := fmt.Fprintln(r.opened, url)
			return err
		}}
	if change != nil {
		change(&environment)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.code <- cli.Execute(ctx, environment,
			append([]string{"--kubeconfig", kubeconfig, "-n", w.namespace}, args...))
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
		if w.t.Failed() {
			w.t.Logf("standard output:\n%s\nstandard error:\n%s\nopened:\n%s", r.out, r.err, r.opened)
		}
	})
	return r
}

// waitForExit waits for the exit code.
func (r *run) waitForExit(want int) {
	r.t.Helper()
	select {
	case code := <-r.code:
		if code != want {
			r.t.Errorf("exit code is %d, want %d", code, want)
		}
	case <-time.After(time.Minute):
		r.t.Fatalf("still running; exit code %d was wanted", want)
	}
}

// waitForText waits until a writer has received a text.
func (r *run) waitForText(where *output, text string) {
	r.t.Helper()
	r.waitUntil(fmt.Sprintf("%q is shown", text), func() bool { return strings.Contains(where.String(), text) })
}

func (r *run) waitUntil(what string, holds func() bool) {
	r.t.Helper()
	wait.ForTest(r.t, time.Minute, wait.Holds(what, holds))
}

// output collects what any goroutine writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

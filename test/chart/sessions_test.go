// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// sessionsChart is a chart of a team: a deployment and a session, whose spec is in the values.
const sessionsChart = `apiVersion: credentials.coder.com/v1alpha1
kind: CoderDeployment
metadata: {name: prod}
spec:
  url: {{ .Values.url }}
  token: {secretRef: {name: token}}
---
apiVersion: credentials.coder.com/v1alpha1
kind: CoderSession
metadata: {name: ci}
spec:
  deploymentRef: {name: prod}
  paused: {{ .Values.paused }}
  auth: {mint: {user: {{ .Values.user }}}}
`

// waitEnv is a Coder server and an operator for a namespace, and the chart.
type waitEnv struct {
	*testenv.Env
	url, chart string
}

func newWaitEnv(t *testing.T) *waitEnv {
	t.Helper()
	t.Parallel()
	w := &waitEnv{Env: testenv.New(t, kube.ForTest(t), nil), chart: t.TempDir()}
	w.Coder = coderd.New(coderd.Options{DisableRateLimits: true})
	listener, err := w.Coder.Start(coderd.ListenOptions{})
	w.Must(err)
	t.Cleanup(func() { _ = listener.Close() })
	w.url = listener.URL()
	w.CreateUser(testenv.OperatorUser, coderd.RoleOwner)
	w.CreateUsers(testenv.MachineUser)
	w.WriteSecret(testenv.TokenSecret, map[string]string{"token": w.CreateToken(testenv.OperatorUser, "")})
	const about = "apiVersion: v2\nname: team\nversion: 1.0.0\n"
	w.Must(os.WriteFile(filepath.Join(w.chart, "Chart.yaml"), []byte(about), 0o600))
	w.Must(os.Mkdir(filepath.Join(w.chart, "templates"), 0o700))
	w.Must(os.WriteFile(filepath.Join(w.chart, "templates", "sessions.yaml"), []byte(sessionsChart), 0o600))
	operator, err := inprocess.Start(inprocess.Options{
		Config: w.Cluster.Config, Scheme: w.Cluster.Scheme, Namespaces: []string{w.Namespace},
	})
	w.Must(err)
	t.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// startInstall starts helm install --wait of the chart.
func (w *waitEnv) startInstall(timeout time.Duration, values ...string) *program.Process {
	w.T.Helper()
	helm, err := helmProgram()
	w.Must(err)
	arguments := []string{"install", "team", w.chart, "--namespace=" + w.Namespace, "--kubeconfig=" + w.Cluster.Kubeconfig,
		"--wait", "--debug", "--timeout=" + timeout.String()}
	for _, value := range append([]string{"url=" + w.url, "paused=false", "user=" + testenv.MachineUser}, values...) {
		arguments = append(arguments, "--set="+value)
	}
	p, err := program.Start(program.Command{Path: helm, Args: arguments, Log: filepath.Join(w.T.TempDir(), "helm.log")})
	w.Must(err)
	w.T.Cleanup(func() {
		w.Must(p.Stop())
		if w.T.Failed() {
			w.T.Logf("helm:\n%s", p.Output())
		}
	})
	return p
}

// mustEnd waits until Helm has ended, and compares its exit code and a part of its output.
func (w *waitEnv) mustEnd(p *program.Process, code int, fragment string) {
	w.T.Helper()
	select {
	case <-p.Ended:
	case <-time.After(2 * installTimeout):
		w.T.Fatal("Helm does not end")
	}
	if got := p.ExitCode(); got != code || !strings.Contains(p.Output(), fragment) {
		w.T.Errorf("Helm's exit code is %d, want %d and %q", got, code, fragment)
	}
}

// installTimeout is for an installation that is not to end by its timeout.
const installTimeout = time.Minute

// The guide to GitOps says what Helm waits for. The token is not minted before Helm waits for the session.
func TestHelmWaitsUntilSessionsAreReady(t *testing.T) {
	w := newWaitEnv(t)
	gate := coderd.NewGate()
	w.T.Cleanup(gate.Release)
	w.Coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Method: "POST", Path: "/api/v2/users/*/keys/tokens", Gate: gate})
	p := w.startInstall(installTimeout)
	w.Eventually(func(context.Context) error {
		const waits = "kind=CoderSession expectedStatus=Current actualStatus=InProgress"
		if output := p.Output(); !strings.Contains(output, waits) {
			return fmt.Errorf("helm does not wait for the session yet:\n%s", output)
		}
		return nil
	})
	<-gate.Entered()
	w.Must(p.Running())
	gate.Release()
	w.mustEnd(p, 0, "STATUS: deployed")
	w.Must(w.IsReady("ci")(t.Context()))
}

func TestHelmFailsByItsTimeoutIfASessionDoesNotGetReady(t *testing.T) {
	w := newWaitEnv(t)
	w.mustEnd(w.startInstall(5*time.Second, "paused=true"), 1, "/ci not ready. status: InProgress, message: paused by")
}

func TestHelmFailsAtOnceIfASessionIsStalled(t *testing.T) {
	w := newWaitEnv(t)
	p := w.startInstall(installTimeout, "user=gone")
	w.mustEnd(p, 1, "/ci not ready. status: Failed")
	if strings.Contains(p.Output(), "deadline exceeded") {
		t.Error("it failed by its timeout")
	}
}

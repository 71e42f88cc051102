// SPDX-License-Identifier: Apache-2.0

package bombs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/hostile"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

func TestMain(m *testing.M) { os.Exit(kube.Shared(m)) }

// limit is what the operator stays under, in KiB (B130).
const limit = 256 << 10

// lists is how many lists of tokens each hostile server is asked for: one for each verification.
const lists = 4

// B130: beside ten deployments whose servers answer with whatever takes memory, each with sessions of its
// own, the program stays under 256 MiB, and the sessions of an honest deployment are rotated.
func TestTheOperatorStaysUnderItsLimit(t *testing.T) {
	e := testenv.New(t, kube.ForTest(t), nil)
	e.Coder = coderd.New(coderd.Options{DisableRateLimits: true})
	listener, err := e.Coder.Start(coderd.ListenOptions{})
	e.Must(err)
	t.Cleanup(func() { _ = listener.Close() })
	e.CreateUser(testenv.OperatorUser, coderd.RoleOwner)
	e.CreateUsers(testenv.MachineUser, "x")
	token := map[string]string{"token": e.CreateToken(testenv.OperatorUser, "")}
	e.WriteSecret(testenv.TokenSecret, token)
	operator := startOperator(t, e)
	idle := peakKiB(t, operator)

	var asked []*atomic.Int64
	for i, attack := range attacks() {
		other := e.InNamespace(e.Cluster.Namespace(t, nil))
		other.WriteSecret(testenv.TokenSecret, token)
		count := new(atomic.Int64)
		if list := attack["/keys/tokens"]; list != nil {
			attack["/keys/tokens"] = counted(list, count)
			asked = append(asked, count)
		}
		other.Create(newDeployment(other, startHostile(t, listener.URL(), attack)))
		for _, name := range []string{"one", "two", "three"} {
			other.Create(other.NewMintedSession(name, "x", func(spec *v1alpha1.CoderSessionSpec) {
				if name == "one" && i < 8 {
					spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "x", Name: "dev"}
				}
			}))
		}
	}
	e.Create(newDeployment(e, listener.URL()))
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		e.Create(e.NewMintedSession(name, testenv.MachineUser, withShortLifetime))
	}
	checks := []wait.Check{staysUnderLimit(t, operator), listsAsked(asked)}
	for _, name := range names {
		checks = append(checks, e.IsReady(name), isRotated(e, name))
	}
	e.Eventually(append(checks, staysUnderLimit(t, operator))...)
	t.Logf("%d MiB at the peak, %d MiB idle", peakKiB(t, operator)>>10, idle>>10)
}

// staysUnderLimit fails for good once the operator has ended, or had more memory than it may have.
func staysUnderLimit(t *testing.T, operator *program.Operator) wait.Check {
	return func(context.Context) error {
		if err := operator.Running(); err != nil {
			return wait.Final(err)
		}
		if peak := peakKiB(t, operator); peak >= limit {
			return wait.Final(fmt.Errorf("%d MiB at the peak", peak>>10))
		}
		return nil
	}
}

// startOperator builds and starts the operator, and waits until it is ready.
func startOperator(t *testing.T, e *testenv.Env) *program.Operator {
	t.Helper()
	root, err := kube.Root()
	e.Must(err)
	folder := t.TempDir()
	e.Must(program.Build(t.Context(), root, folder, "manager"))
	user, err := e.Cluster.User("bombs", "system:masters")
	e.Must(err)
	operator := program.OperatorForTest(t, program.OperatorOptions{
		Path: filepath.Join(folder, "manager"), Kubeconfig: user.Kubeconfig, Namespace: e.Cluster.Namespace(t, nil),
		Flags: []string{"--cluster-id=" + clusterID},
	})
	e.Must(operator.AwaitReady(t.Context(), e.Patience))
	return operator
}

// counted counts the requests.
func counted(b hostile.Behaviour, count *atomic.Int64) hostile.Behaviour {
	return hostile.Counted(b, func() { count.Add(1) })
}

func newDeployment(e *testenv.Env, url string) *v1alpha1.CoderDeployment {
	return e.NewDeployment(testenv.DeploymentName, url, func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.TLS = nil
		spec.Verify = v1alpha1.VerifyPolicy{Interval: "1s", QuietPeriod: "200ms", MaxDelay: "2s"}
	})
}

// withShortLifetime makes a session mint another token every few seconds.
func withShortLifetime(spec *v1alpha1.CoderSessionSpec) {
	before, overlap := v1alpha1.Duration("54s"), v1alpha1.Duration("2s")
	spec.Auth.Mint.Lifetime = "1m"
	spec.Rotation = &v1alpha1.Rotation{RenewBefore: &before, Overlap: &overlap}
}

// isRotated: the session publishes its third token.
func isRotated(e *testenv.Env, name string) wait.Check {
	return func(ctx context.Context) error {
		s, err := e.GetSession(ctx, name)
		if err != nil {
			return err
		}
		if s.Status.Token == nil || s.Status.Token.Serial < 3 {
			return fmt.Errorf("session %s publishes %+v", name, s.Status.Token)
		}
		return testenv.CheckReady(s, metav1.ConditionTrue, v1alpha1.ReasonActive)
	}
}

// listsAsked: each server was asked for several lists.
func listsAsked(asked []*atomic.Int64) wait.Check {
	return func(context.Context) error {
		for i, count := range asked {
			if n := count.Load(); n < lists {
				return fmt.Errorf("server %d was asked for %d lists", i, n)
			}
		}
		return nil
	}
}

// peakKiB is the most resident memory that a process ever had (VmHWM in proc(5)), in KiB.
func peakKiB(t *testing.T, operator *program.Operator) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", operator.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib
		}
	}
	t.Fatal("no VmHWM in /proc")
	return 0
}

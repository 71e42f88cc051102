// SPDX-License-Identifier: Apache-2.0

package tarpits_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

func TestMain(m *testing.M) { os.Exit(kube.Shared(m)) }

// world is an operator, an honest Coder server, and namespaces with tarpits.
type world struct {
	*testenv.Env
	url string // of the honest server
	// others are the namespaces of tarpits.
	others []*testenv.Env
	// silent answers nothing.
	silent *tarpit
	// deaf answer nothing about the user "x"; there is one for each namespace of the first half.
	deaf []*tarpit
}

// newWorld starts an operator that watches an honest namespace and some of tarpits.
func newWorld(t testing.TB, namespaces int) *world {
	t.Helper()
	w := &world{Env: testenv.New(t, kube.ForTest(t), nil)}
	w.Patience = timeout / 2
	w.Coder = coderd.New(coderd.Options{DisableRateLimits: true})
	listener, err := w.Coder.Start(coderd.ListenOptions{})
	w.Must(err)
	t.Cleanup(func() { _ = listener.Close() })
	w.url = listener.URL()
	w.CreateUser(testenv.OperatorUser, coderd.RoleOwner)
	w.CreateUsers(testenv.MachineUser, "x")
	token := map[string]string{"token": w.CreateToken(testenv.OperatorUser, "")}
	w.WriteSecret(testenv.TokenSecret, token)
	watched := []string{w.Namespace}
	for range namespaces {
		other := w.InNamespace(w.Cluster.Namespace(t, nil))
		other.WriteSecret(testenv.TokenSecret, token)
		w.others, watched = append(w.others, other), append(watched, other.Namespace)
	}
	w.silent = startTarpit(t, w.url, "")
	for range namespaces / 2 {
		w.deaf = append(w.deaf, startTarpit(t, w.url, "/users/x"))
	}
	operator, err := inprocess.Start(inprocess.Options{
		Config: w.Cluster.Config, Scheme: w.Cluster.Scheme, Namespaces: watched, WithoutCallbacks: true,
	})
	w.Must(err)
	t.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// timeout of requests to tarpits, the longest there is.
const timeout = time.Minute

func deployment(e *testenv.Env, name, url string) *v1alpha1.CoderDeployment {
	return e.NewDeployment(name, url, func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.TLS = nil
		spec.Verify = v1alpha1.VerifyPolicy{
			Interval: "5m", QuietPeriod: "200ms", MaxDelay: "2s", Timeout: v1alpha1.Duration(timeout.String()),
		}
	})
}

// timeUntilReady creates an honest deployment and a session of it, and returns how long it takes until
// both are Ready.
func (w *world) timeUntilReady(name string) time.Duration {
	w.T.Helper()
	begin := time.Now()
	w.Create(deployment(w.Env, name, w.url), w.NewMintedSession(name, testenv.MachineUser,
		func(spec *v1alpha1.CoderSessionSpec) { spec.DeploymentRef.Name = v1alpha1.ObjectName(name) }))
	w.Eventually(w.IsReady(name), func(ctx context.Context) error {
		d := &v1alpha1.CoderDeployment{}
		if err := w.Get(ctx, name, d); err != nil {
			return err
		}
		ready := testenv.Condition{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonVerified,
		}
		return ready.Check("deployment "+name, d.Status.Conditions)
	})
	return time.Since(begin)
}

// createTarpits creates deployments whose servers hang in all namespaces: in each of the first half, one
// with sessions that hang at their user, and everything else hangs at once.
func (w *world) createTarpits(perNamespace, sessions int) (all []client.Object) {
	w.T.Helper()
	for i, other := range w.others {
		for j := range perNamespace {
			name := fmt.Sprint("pit-", j)
			if i >= len(w.deaf) || j > 0 {
				all = append(all, deployment(other, name, w.silent.URL))
				continue
			}
			all = append(all, deployment(other, name, w.deaf[i].URL))
			for k := range sessions {
				all = append(all, other.NewMintedSession(fmt.Sprint("s-", k), "x",
					func(spec *v1alpha1.CoderSessionSpec) { spec.DeploymentRef.Name = v1alpha1.ObjectName(name) }))
			}
		}
	}
	w.Create(all...)
	return all
}

// timeUntilDeleted deletes objects and returns how long it takes until the last one is gone.
func (w *world) timeUntilDeleted(objects []client.Object) time.Duration {
	w.T.Helper()
	begin := time.Now()
	for _, object := range objects {
		w.Delete(object)
	}
	w.Eventually(func(ctx context.Context) error {
		for _, other := range w.others {
			var deployments v1alpha1.CoderDeploymentList
			var sessions v1alpha1.CoderSessionList
			for _, list := range []client.ObjectList{&deployments, &sessions} {
				if err := w.Client.List(ctx, list, client.InNamespace(other.Namespace)); err != nil {
					return err
				}
			}
			if left := len(deployments.Items) + len(sessions.Items); left > 0 {
				return fmt.Errorf("%d objects are left in %s", left, other.Namespace)
			}
		}
		return nil
	})
	return time.Since(begin)
}

// occupied waits until requests to silent tarpits wait, and some to each deaf one: no namespace has lost its
// share of those that may wait.
func (w *world) occupied(silent int) {
	w.T.Helper()
	w.Eventually(func(context.Context) error {
		if got := w.silent.countWaiting(); got < silent {
			return fmt.Errorf("%d requests to silent servers wait, want %d", got, silent)
		}
		for i, deaf := range w.deaf {
			if deaf.countWaiting() == 0 {
				return fmt.Errorf("no request about user x waits in namespace %s", w.others[i].Namespace)
			}
		}
		return nil
	})
}

// figures are what was measured.
type figures struct{ alone, beside, deletion time.Duration }

func (f figures) String() string {
	return fmt.Sprintf("alone %s, beside tarpits %s (%.1f times), deletion of the tarpits %s",
		f.alone.Round(time.Millisecond), f.beside.Round(time.Millisecond), f.ratio(), f.deletion.Round(time.Millisecond))
}

func (f figures) ratio() float64 { return float64(f.beside) / float64(f.alone) }

// run measures an honest deployment and session alone and beside 50 tarpits in 10 namespaces, 5 of which
// have 12 sessions each.
func run(t testing.TB) figures {
	t.Helper()
	w := newWorld(t, 10)
	w.timeUntilReady("warm")
	f := figures{alone: w.timeUntilReady("alone")}
	tarpits := w.createTarpits(5, 12)
	first := w.timeUntilReady("beside")
	w.occupied(8)
	second := w.timeUntilReady("later")
	w.occupied(8)
	f.beside = max(first, second)
	f.deletion = w.timeUntilDeleted(tarpits)
	return f
}

// B131: beside 50 servers that do not answer, in 10 namespaces, an honest deployment and session are Ready
// while requests to the others wait, and deletions of the others do not wait for their time-outs. What
// waits for a time-out does not come before the patience of the test is over.
func TestTarpitsCostOthersNothing(t *testing.T) {
	t.Parallel()
	t.Log(run(t))
}

func BenchmarkTarpits(b *testing.B) {
	for b.Loop() {
		f := run(b)
		b.ReportMetric(f.ratio(), "x-time-alone")
		b.ReportMetric(f.alone.Seconds(), "s-alone")
		b.ReportMetric(f.beside.Seconds(), "s-beside")
		b.ReportMetric(f.deletion.Seconds(), "s-deletion")
	}
}

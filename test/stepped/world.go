// SPDX-License-Identifier: Apache-2.0

package stepped

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/inventory"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/stream"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

const (
	// Namespace of all objects.
	Namespace = "builds"
	// Callback is the URL of the OAuth callback.
	Callback = "https://operator.example/oauth/callback"

	key = "a key for tests that is 32 bytes"
)

// World is one operator, one deployment and the Coder server behind it. It is for one goroutine.
type World struct {
	*testenv.Env
	Clock *clocktesting.FakeClock
	// API is the API server without the operator's hooks.
	API client.Client
	// Controllers have an empty memory at the start.
	Controllers controllers.Controllers
	// Metrics are in Registry. What cmd/manager records is left to the test.
	Metrics  *metrics.Metrics
	Registry *prometheus.Registry
	Events   *events.FakeRecorder
	// FingerprintKey is the operator's.
	FingerprintKey fingerprint.Key

	// Selector limits what the operator watches from the next Restart on; nil: all.
	Selector labels.Selector
	// Direct counts the reads past the cache, such as "get meta Secret ci" and "list CoderSessionList".
	Direct map[string]int
	// DirectErrors are the errors of reads past the cache, by the same names.
	DirectErrors map[string]error
	hooks        hooks
	uids         int
	// notified holds the last view that the controllers were notified of, by the holder of the stream.
	notified sync.Map
}

// New has the users operator (owner), ci-bot and ada, and the deployment "prod", which is verified.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{
		Env:      &testenv.Env{T: t, Namespace: Namespace, Patience: time.Minute},
		Clock:    clocktesting.NewFakeClock(time.Now().Truncate(time.Second)),
		Registry: prometheus.NewRegistry(), Events: events.NewFakeRecorder(1024),
	}
	w.Coder = coderd.New(coderd.Options{DisableRateLimits: true, Clock: w.Clock})
	listener, err := w.Coder.Start(coderd.ListenOptions{})
	w.Must(err)
	t.Cleanup(func() { _ = listener.Close() })
	w.Coder.Reconfigure(func(o *coderd.Options) { o.AccessURL = listener.URL() })
	w.CreateUser(testenv.OperatorUser, coderd.RoleOwner)
	w.CreateUsers(testenv.MachineUser, testenv.PersonUser)
	w.startAPI()
	w.Restart()
	own := map[string][]byte{"token": []byte(w.CreateToken(testenv.OperatorUser, ""))}
	w.Put(&corev1.Secret{ObjectMeta: w.Meta(testenv.TokenSecret), Data: own},
		w.NewDeployment(testenv.DeploymentName, listener.URL(), func(spec *v1alpha1.CoderDeploymentSpec) {
			spec.TLS, spec.Verify.Timeout = nil, "1m" // of real time: the machine may be busy
		}))
	w.PassDeployment()
	return w
}

// Clone returns a clone of the cluster: another API server with the same objects and UIDs, and an operator
// with the same cluster id, which talk to the same Coder server.
func (w *World) Clone() *World {
	w.T.Helper()
	env := *w.Env
	clone := &World{Env: &env, Clock: w.Clock, Events: events.NewFakeRecorder(1024), uids: w.uids + cloneUIDs}
	var objects []client.Object
	for _, list := range []client.ObjectList{
		&corev1.SecretList{}, &v1alpha1.CoderDeploymentList{}, &v1alpha1.CoderSessionList{},
	} {
		w.Must(w.API.List(w.T.Context(), list))
		w.Must(meta.EachListItem(list, func(item runtime.Object) error {
			objects = append(objects, item.DeepCopyObject().(client.Object))
			return nil
		}))
	}
	clone.startAPI(objects...)
	clone.Restart()
	return clone
}

// cloneUIDs keeps the UIDs of objects that are created in a clone from those of the original.
const cloneUIDs = 1 << 16

func (w *World) startAPI(objects ...client.Object) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, v1alpha1.AddToScheme} {
		w.Must(add(scheme))
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.CoderSession{}, &v1alpha1.CoderDeployment{})
	w.Must(lookup.AddIndexes(w.T.Context(), testenv.Indexer{ClientBuilder: builder},
		inventory.Names{Cluster: inprocess.Cluster}))
	w.API = builder.Build()
}

// Restart ends the operator's process and starts another one, with an empty memory.
func (w *World) Restart() {
	w.T.Helper()
	if w.Controllers.Sessions != nil {
		w.Controllers.Sessions.Stop()
		w.Controllers.Deployments.Stop()
	}
	ctx, cancel := testenv.NewContext()
	w.T.Cleanup(cancel)
	var err error
	w.FingerprintKey, err = fingerprint.NewKey([]byte(key))
	w.Must(err)
	operators := w.wrapClient()
	access := controllers.APIAccess{
		Client: selecting(operators, w.Selector), APIReader: w.counting(operators), Recorder: w.Events,
	}
	w.Registry = prometheus.NewRegistry()
	w.Metrics = metrics.New(w.Registry)
	w.Controllers = controllers.New(ctx, access, controllers.Options{
		Key: w.FingerprintKey, Cluster: inprocess.Cluster, Clock: w.Clock,
		Jitter:  func(time.Duration) time.Duration { return 0 },
		Metrics: w.Metrics, Roots: inprocess.NoRoots, UserAgent: "test", RevocationTimeout: time.Minute,
		OrphanGrace: time.Hour, MaxConcurrent: 1, RedirectURIs: grant.RedirectURIs(Callback), Random: rand.Reader,
		Instance: "stepped", NewStreams: w.newStreams, Selector: w.Selector,
	})
	leads := func() bool { return true }
	w.Metrics.SetSources(w.Controllers.MetricSources(ctx, w.API, leads, w.Clock))
}

// newStreams returns streams that record which notifications were delivered.
func (w *World) newStreams(ctx context.Context, o stream.Options) controllers.Streams {
	notify := o.Notify
	o.Notify = func(n stream.Notification) {
		notify(n)
		for _, holder := range n.Holders {
			w.notified.Store(holder, n.View)
		}
	}
	return stream.NewSet(ctx, o)
}

// AwaitStream waits until the stream of a session's workspace has sent the workspace, and the session
// was notified of that.
func (w *World) AwaitStream(name string) {
	w.T.Helper()
	w.Eventually(func(context.Context) error {
		last, _ := w.notified.Load(w.Key(name))
		view, _ := last.(stream.View)
		if view.State != stream.Connected || view.Workspace.ID == "" {
			return fmt.Errorf("session %s was last notified of %+v", name, view)
		}
		return nil
	})
}

// Put creates objects as a user does.
func (w *World) Put(objects ...client.Object) {
	w.T.Helper()
	for _, object := range objects {
		w.uids++
		object.SetUID(types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", w.uids, w.uids)))
		object.SetGeneration(1)
		object.SetCreationTimestamp(metav1.NewTime(w.Clock.Now()))
		w.Must(w.API.Create(w.T.Context(), object))
	}
}

// EditSession changes a session as a user does.
func (w *World) EditSession(name string, change func(*v1alpha1.CoderSession)) {
	w.T.Helper()
	s := w.Session(name)
	change(s)
	s.Generation++
	w.Must(w.API.Update(w.T.Context(), s))
}

// Session returns a session as it is stored.
func (w *World) Session(name string) *v1alpha1.CoderSession {
	w.T.Helper()
	s := &v1alpha1.CoderSession{}
	w.Must(w.API.Get(w.T.Context(), w.Key(name), s))
	return s
}

// Key is the name of an object.
func (w *World) Key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.Namespace, Name: name}
}

// PassDeployment makes one pass over the deployment.
func (w *World) PassDeployment() ctrl.Result {
	w.T.Helper()
	result, err := w.Controllers.Deployments.Reconcile(w.T.Context(), ctrl.Request{
		NamespacedName: w.Key(testenv.DeploymentName)})
	w.Must(err)
	return result
}

// Pass makes one pass over a session.
func (w *World) Pass(name string) ctrl.Result {
	w.T.Helper()
	result, err := w.Controllers.Sessions.Reconcile(w.T.Context(), ctrl.Request{NamespacedName: w.Key(name)})
	w.Must(err)
	return result
}

// passes is how many passes a session needs at most until it is settled.
const passes = 10

// Settle makes passes over the deployment and a session until the session waits for its next
// verification.
func (w *World) Settle(name string) {
	w.T.Helper()
	for range passes {
		w.PassDeployment()
		if w.Pass(name).RequeueAfter > time.Minute {
			return
		}
		w.Clock.Step(2 * time.Second)
	}
	w.T.Fatalf("session %s does not settle: %+v", name, w.Session(name).Status)
}

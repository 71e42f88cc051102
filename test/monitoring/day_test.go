// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/prometheus/storage"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// How long a day is, and how often the operator is scraped.
const (
	dayLength      = 24 * time.Hour
	scrapeInterval = 2 * time.Minute
)

// day is a day of both controllers at a clock of their own: an API server in memory, a simulated Coder server, and
// what people do by the hour. What cmd/manager records is set once.
type day struct {
	*stepped.World
	start    time.Time
	sessions []string
}

// happening is something that happens on that day, at a multiple of scrapeInterval.
type happening struct {
	at time.Duration
	do func(*day)
}

// happenings are those of a day: sessions come one after the other, two of them are never used, a user is suspended
// for two hours, settings are changed, and the server is away for a while.
func happenings() []happening {
	var all []happening
	for i := range 10 {
		name, lifetime := fmt.Sprintf("ci-%d", i), v1alpha1.Duration([]string{"3h", "6h", "8h"}[i%3])
		began := time.Duration(i*i) * 4 * time.Minute
		all = append(all, happening{began, func(d *day) { d.addSession(name, testenv.MachineUser, lifetime) }})
		for at := began + time.Hour; i < 8 && at < dayLength; at += time.Hour {
			all = append(all, happening{at, func(d *day) { d.useToken(name) }})
		}
	}
	for i := range 3 {
		all = append(all, happening{time.Duration(9+i) * time.Hour, func(d *day) {
			d.addSession(fmt.Sprintf("ada-%d", i), testenv.PersonUser, "4h")
		}})
	}
	return append(all,
		happening{7 * time.Hour, func(d *day) { d.verifyEvery("4m") }},
		happening{13 * time.Hour, func(d *day) { d.Must(d.Coder.Suspend(testenv.PersonUser)) }},
		happening{15 * time.Hour, func(d *day) { d.Must(d.Coder.Activate(testenv.PersonUser)) }},
		happening{16 * time.Hour, func(d *day) { d.verifyEvery("5m") }},
		happening{18 * time.Hour, func(d *day) {
			d.Coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: http.StatusServiceUnavailable})
		}},
		happening{18*time.Hour + 40*time.Minute, func(d *day) { d.Coder.ClearFaults() }},
	)
}

// runDay runs the day and appends each scrape to a database. It returns the time of the last one.
func runDay(t *testing.T, into storage.Appendable) (end time.Time) {
	t.Helper()
	w := stepped.New(t)
	d := &day{World: w, start: w.Clock.Now()}
	w.Metrics.BuildInfo("v0.1.0", "go1.26")
	w.Metrics.AdmissionPoliciesInstalled(true)
	w.Metrics.SetWebhookCertificateEnd(func() time.Time { return d.start.Add(60 * dayLength) })
	idle := v1alpha1.Duration("12h")
	d.edit(func(spec *v1alpha1.CoderDeploymentSpec) { spec.Retention = &v1alpha1.Retention{IdleTimeout: &idle} })
	planned := happenings()
	for at := time.Duration(0); at <= dayLength; at += scrapeInterval {
		for _, next := range planned {
			if next.at == at {
				next.do(d)
			}
		}
		d.PassDeployment()
		for _, name := range d.sessions {
			d.Pass(name)
		}
		families, err := w.Registry.Gather()
		d.Must(err)
		appendFamilies(t, into.Appender(t.Context()), families, w.Clock.Now())
		end = w.Clock.Now()
		w.Clock.Step(scrapeInterval)
	}
	return end
}

func (d *day) addSession(name, user string, lifetime v1alpha1.Duration) {
	d.Put(d.NewMintedSession(name, user, func(spec *v1alpha1.CoderSessionSpec) { spec.Auth.Mint.Lifetime = lifetime }))
	d.sessions = append(d.sessions, name)
}

// useToken uses the token of a session once.
func (d *day) useToken(name string) {
	secret := &corev1.Secret{}
	d.Must(d.API.Get(d.T.Context(), d.Key(name), secret))
	request, err := http.NewRequestWithContext(d.T.Context(), http.MethodGet,
		string(secret.Data["CODER_URL"])+"/api/v2/users/me", http.NoBody)
	d.Must(err)
	request.Header.Set("Coder-Session-Token", string(secret.Data["CODER_SESSION_TOKEN"]))
	response, err := http.DefaultClient.Do(request)
	d.Must(err)
	d.Must(response.Body.Close())
}

// edit changes the deployment, and returns it as it was and is.
func (d *day) edit(change func(*v1alpha1.CoderDeploymentSpec)) event.UpdateEvent {
	before := &v1alpha1.CoderDeployment{}
	d.Must(d.API.Get(d.T.Context(), d.Key(testenv.DeploymentName), before))
	after := before.DeepCopy()
	change(&after.Spec)
	after.Generation++
	d.Must(d.API.Update(d.T.Context(), after))
	return event.UpdateEvent{ObjectOld: before, ObjectNew: after}
}

// verifyEvery changes the deployment, which its watch tells the operator, and waits for the end of the quiet period.
func (d *day) verifyEvery(interval v1alpha1.Duration) {
	edited := d.edit(func(spec *v1alpha1.CoderDeploymentSpec) { spec.Verify.Interval = interval })
	queue := firstKey{added: make(chan struct{})}
	d.Controllers.DeploymentQueue.SetTarget(queue)
	for _, watch := range d.Controllers.Deployments.Watches() {
		if _, is := watch.Object.(*v1alpha1.CoderDeployment); is {
			watch.Handler.Update(d.T.Context(), edited, nil)
		}
	}
	d.Clock.Step(time.Second)
	<-queue.added
	d.Controllers.DeploymentQueue.SetTarget(nil)
}

// firstKey is a queue that is closed by its first key.
type firstKey struct {
	reconcile.WorkQueue
	added chan struct{}
}

// AddAfter implements reconcile.WorkQueue.
func (q firstKey) AddAfter(ctrl.Request, time.Duration) { close(q.added) }

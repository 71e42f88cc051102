// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/http"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/controllers/fairqueue"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
)

// deploymentWorkers returns the number of workers of the deployment controller. A single namespace gets
// half of them, see package fairqueue.
func deploymentWorkers(concurrent int) int { return 2 * concurrent }

// sessionWorkers returns the number of workers of the session controller. The sessions of a single
// deployment in a single namespace get a third of them.
func sessionWorkers(concurrent int) int { return 3 * concurrent }

// podWorkers returns the number of workers of the pod controller. A single namespace gets a third of them.
func podWorkers(concurrent int) int { return 3 * concurrent }

// newServers returns what is known of the servers. Time-outs of requests are those of the real clock, so
// what hangs is measured with it, too.
func newServers(o Options) *fairqueue.Servers {
	return fairqueue.NewServers(clock.RealClock{}, func(key types.NamespacedName, slow bool) {
		o.Metrics.ServerSlow(key.Namespace, key.Name, slow)
	})
}

// Names of the controllers in health checks and metrics.
const (
	deploymentsName = "deployments"
	sessionsName    = "sessions"
	podsName        = "pods"
)

// workers are the workers of one controller.
type workers struct {
	fairQueue *fairqueue.Queue
	progress  *reconcile.Progress
}

func newWorkers(count int, servers *fairqueue.Servers, queue *reconcile.Queue, c clock.PassiveClock) workers {
	fair := fairqueue.New(count, servers, func(key types.NamespacedName) { queue.Add(key, 0) })
	waiting := func() int { return queue.Len() + fair.WaitingObjects() }
	return workers{fair, reconcile.NewProgress(c, waiting)}
}

// addLiveness adds health checks that fail when a controller makes no progress although work waits. A
// replica that does not lead passes them.
func (c Controllers) addLiveness(mgr ctrl.Manager) error {
	for name, w := range c.queues {
		check := func(*http.Request) error { return w.progress.Check(isClosed(mgr.Elected())) }
		if err := mgr.AddHealthzCheck(name, check); err != nil {
			return err
		}
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

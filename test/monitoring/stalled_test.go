// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"sync"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// A controller whose only pass hangs makes no progress if another session waits for a worker, and the alert fires. If
// none waits, it does not, however long the pass takes.
func TestAControllerThatHangs(t *testing.T) {
	_, all := renderRules(t)
	for name, waits := range map[string]bool{"a session waits": true, "no session waits": false} {
		t.Run(name, func(t *testing.T) {
			w := stepped.New(t)
			w.Put(w.NewMintedSession("hangs", testenv.MachineUser), w.NewMintedSession("waits", testenv.MachineUser))
			hangs, release := make(chan struct{}), make(chan struct{})
			hang := sync.OnceFunc(func() { close(hangs); <-release })
			w.Before(func(r stepped.Request) error {
				if r.Name == "hangs" {
					hang()
				}
				return nil
			})
			ended := make(chan error, 1)
			go func() {
				_, err := w.Controllers.Sessions.Reconcile(t.Context(), ctrl.Request{NamespacedName: w.Key("hangs")})
				ended <- err
			}()
			select {
			case <-hangs:
			case err := <-ended:
				t.Fatalf("the pass has ended: %v", err)
			}
			if waits {
				w.Pass("waits") // the sessions of a deployment in a namespace have one worker here
			}
			db := openDatabase(t)
			for range alertWindow / alertInterval {
				w.Clock.Step(alertInterval)
				families, err := w.Registry.Gather()
				w.Must(err)
				appendFamilies(t, db.Appender(t.Context()), families, w.Clock.Now())
			}
			if got := findFiringIn(t, all, db, w.Clock.Now())[noProgress]; got != waits {
				t.Errorf("%s fires: %t, want %t", noProgress, got, waits)
			}
			close(release)
			w.Must(<-ended)
		})
	}
}

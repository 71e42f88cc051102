// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
)

// bind creates a workspace for ci and binds the session to it.
func bind(w *stepped.World, s *v1alpha1.CoderSession) {
	workspace, err := w.Coder.CreateWorkspace(coderd.WorkspaceOptions{Owner: "ci-bot", Name: "dev"})
	w.Must(err)
	s.Spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ci-bot", Name: workspace.Name}
}

// runner is a workload that is being rolled out.
func runner(w *stepped.World) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: w.Meta("runner"),
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "runner"}},
		}},
	}
}

// observed is a session in the moment in which it is observed.
var observed = map[string]func(*stepped.World){
	"with its token": func(w *stepped.World) {
		w.Put(w.NewMintedSession("ci", "ci-bot"))
		w.Settle("ci")
	},
	"without a pass before": func(w *stepped.World) { w.Put(w.NewMintedSession("ci", "ci-bot")) },
	"due for rotation": func(w *stepped.World) {
		w.Put(w.NewMintedSession("ci", "ci-bot"))
		w.Settle("ci")
		w.Clock.Step(23 * time.Hour)
	},
	"whose Secret was edited": func(w *stepped.World) {
		w.Put(w.NewMintedSession("ci", "ci-bot"))
		w.Settle("ci")
		secret := &corev1.Secret{}
		w.Must(w.API.Get(w.T.Context(), w.Key("ci"), secret))
		secret.Data["session"] = []byte("garbage")
		w.Must(w.API.Update(w.T.Context(), secret))
	},
	"whose user is suspended": func(w *stepped.World) {
		w.Put(w.NewMintedSession("ci", "ci-bot"))
		w.Settle("ci")
		w.Must(w.Coder.Suspend("ci-bot"))
	},
	"without its deployment": func(w *stepped.World) {
		w.Put(w.NewMintedSession("ci", "ci-bot"))
		w.Settle("ci")
		w.Must(w.API.Delete(w.T.Context(), w.NewDeployment("prod", "")))
	},
	"bound to a workspace": func(w *stepped.World) {
		settleBound(w)
	},
	"paused, with a stream": func(w *stepped.World) {
		settleBound(w)
		w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Paused = true })
	},
	"deleted, with a stream": func(w *stepped.World) {
		settleBound(w)
		w.Must(w.API.Delete(w.T.Context(), w.Session("ci")))
	},
	"unbound, with a stream": func(w *stepped.World) {
		settleBound(w)
		w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Workspace = nil })
	},
	"bound to another workspace, with a stream": func(w *stepped.World) {
		settleBound(w)
		w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Workspace.Name = "other" })
	},
	"with a rollout": func(w *stepped.World) {
		settleRollout(w)
	},
	"with a rollout that has ended": func(w *stepped.World) {
		settleRollout(w)
		d := &appsv1.Deployment{}
		w.Must(w.API.Get(w.T.Context(), w.Key("runner"), d))
		w.Must(w.API.Delete(w.T.Context(), d))
	},
	"with a rollout that another process began": func(w *stepped.World) {
		settleRollout(w)
		w.Restart()
		w.PassDeployment()
	},
	"with a supplied token": func(w *stepped.World) {
		w.Put(&corev1.Secret{
			ObjectMeta: w.Meta("mine"), Data: map[string][]byte{"token": []byte(w.CreateToken("ada", ""))},
		}, w.NewSuppliedSession("ci", "mine"))
		w.Settle("ci")
	},
	"that waits for consent": func(w *stepped.World) {
		w.Coder.SetOAuth2Provider(true)
		w.Coder.SetDynamicRegistration(true)
		w.Put(w.NewSession("ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}))
		w.Settle("ci")
	},
}

// settleBound makes the session ci, which watches its workspace.
func settleBound(w *stepped.World) {
	s := w.NewMintedSession("ci", "ci-bot")
	bind(w, s)
	w.Put(s)
	w.Settle("ci")
	w.AwaitStream("ci")
}

// settleRollout makes the session ci, whose workload is being restarted.
func settleRollout(w *stepped.World) {
	s := w.NewMintedSession("ci", "ci-bot")
	s.Spec.Restart = []v1alpha1.RestartTarget{{Kind: v1alpha1.RestartDeployment, Name: "runner"}}
	w.Put(runner(w), s)
	w.Pass("ci")
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"} })
	w.Pass("ci")
	if w.CountRequests(stepped.Request{Verb: stepped.Patch, Kind: "Deployment", Name: "runner"}) == 0 {
		w.T.Fatalf("no rollout has begun: %+v", w.Session("ci").Status)
	}
}

// silent is a work queue that must get nothing.
type silent struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	added []types.NamespacedName
}

// Len implements the interface of queues: none waits.
func (*silent) Len() int { return 0 }

func (q *silent) AddAfter(item reconcile.Request, _ time.Duration) {
	q.added = append(q.added, item.NamespacedName)
}

// An observation changes nothing: not the API server, not the Coder server, no stream, no slot of a
// rollout, no metric, no event, no queue. Two in a row find the same.
func TestAnObservationChangesNothing(t *testing.T) {
	t.Parallel()
	for name, arrange := range observed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stepped.New(t)
			arrange(w)
			queue := &silent{}
			w.Controllers.SessionQueue.SetTarget(queue)
			w.Controllers.DeploymentQueue.SetTarget(queue)
			s := w.Session("ci")
			given := s.DeepCopy()
			w.Requests()
			before := describeWorld(w, s)
			first, second, err := w.Controllers.Sessions.ObserveTwice(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, describeWorld(w, s)); diff != "" {
				t.Errorf("changed:\n%s", diff)
			}
			if made := w.Requests(); len(made) != 0 || len(queue.added) != 0 {
				t.Errorf("requests %v, and enqueued %v", made, queue.added)
			}
			if diff := cmp.Diff(given, s); diff != "" {
				t.Errorf("the session that it was given has changed:\n%s", diff)
			}
			if diff := cmp.Diff(first, second); diff != "" {
				t.Errorf("the second observation differs:\n%s", diff)
			}
		})
	}
}

// describeWorld describes what is outside of the pass.
func describeWorld(w *stepped.World, s *v1alpha1.CoderSession) string {
	var text bytes.Buffer
	families, err := w.Registry.Gather()
	w.Must(err)
	for _, family := range families {
		_, err := expfmt.MetricFamilyToText(&text, family)
		w.Must(err)
	}
	fmt.Fprintf(&text, "%d events, %d requests to the Coder server, streams ended: %v\n", len(w.Events.Events),
		len(w.Coder.Requests()), w.Coder.StreamEnds())
	return text.String() + w.Controllers.Sessions.DescribeState(s)
}

// SPDX-License-Identifier: Apache-2.0

package deployment_test

import (
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// newShard watches the objects with the label shard=a, of which the deployment is one.
func newShard(t *testing.T) *stepped.World {
	t.Helper()
	w := stepped.New(t)
	labelDeployment(w, "a")
	w.Selector = labels.SelectorFromSet(labels.Set{"shard": "a"})
	w.Restart()
	w.PassDeployment()
	return w
}

func labelDeployment(w *stepped.World, shard string) {
	w.T.Helper()
	d := deploymentOf(w)
	d.Labels = map[string]string{"shard": shard}
	w.Must(w.API.Update(w.T.Context(), d))
}

func putInShard(w *stepped.World, shard, name string) {
	w.T.Helper()
	s := w.NewMintedSession(name, testenv.MachineUser)
	s.Labels = map[string]string{"shard": shard}
	w.Put(s)
}

// B171: the token of a session that leaves the selector without its deployment is an orphan after the grace
// period, counted from when that was first seen.
func TestASessionThatLeavesItsDeploymentLosesItsToken(t *testing.T) {
	t.Parallel()
	w := newShard(t)
	putInShard(w, "a", "ci")
	w.Settle("ci")
	id := w.Session("ci").Status.Token.ID
	w.Clock.Step(3 * time.Hour)
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Labels = nil })
	listAgain(w)
	if !isListed(w, id) {
		t.Fatal("its token is revoked at once")
	}
	w.Clock.Step(50 * time.Minute)
	w.PassDeployment()
	if !isListed(w, id) {
		t.Fatal("its token is revoked before the grace period has ended")
	}
	w.Clock.Step(10 * time.Minute)
	w.PassDeployment()
	if isListed(w, id) {
		t.Error("its token lives on")
	}
}

// B171: however many tokens are named like those of a session outside of the selector, its Secret and the
// sessions are read once, also if the tokens cannot be revoked.
func TestManyTokensOfASessionOutsideCostOneRead(t *testing.T) {
	t.Parallel()
	const tokens = 30
	for name, left := range map[string]int{"revoked": 0, "not revoked": tokens} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newShard(t)
			putInShard(w, "b", "bait")
			uid := string(w.Session("bait").UID)
			for i := range tokens {
				createNamed(w, testenv.MachineUser, names.Token(uid, int64(i+1)))
			}
			if left > 0 {
				w.Coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Method: "DELETE", Status: 500})
			}
			w.Clock.Step(2 * time.Hour)
			clear(w.Direct)
			w.PassDeployment()
			if gets, lists := w.Direct["get meta Secret bait"], w.Direct["list CoderSessionList"]; gets != 1 || lists != 1 {
				t.Errorf("%d reads of its Secret, %d lists of sessions", gets, lists)
			}
			if live := len(w.LiveTokens("cso-" + names.Cluster + "-" + uid[:8])); live != left {
				t.Errorf("%d tokens live on, want %d", live, left)
			}
		})
	}
}

// B171: the token of a session that moves with its deployment is left alone for good.
func TestASessionThatMovesWithItsDeploymentKeepsItsToken(t *testing.T) {
	t.Parallel()
	w := newShard(t)
	putInShard(w, "a", "ci")
	w.Settle("ci")
	id := w.Session("ci").Status.Token.ID
	stays := deploymentOf(w)
	w.Put(w.NewDeployment("stays", stays.Spec.URL, func(spec *v1alpha1.CoderDeploymentSpec) { *spec = stays.Spec }))
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.API.Get(t.Context(), w.Key("stays"), d))
	d.Labels = map[string]string{"shard": "a"}
	w.Must(w.API.Update(t.Context(), d))
	labelDeployment(w, "b")
	w.EditSession("ci", func(s *v1alpha1.CoderSession) { s.Labels = map[string]string{"shard": "b"} })
	clear(w.Direct)
	for range 40 {
		w.Clock.Step(10 * time.Minute)
		_, err := w.Controllers.Deployments.Reconcile(t.Context(), ctrl.Request{NamespacedName: w.Key("stays")})
		w.Must(err)
	}
	if !isListed(w, id) || w.Direct["list CoderSessionList"] == 0 {
		t.Errorf("its token is listed: %t; reads past the cache: %v", isListed(w, id), w.Direct)
	}
}

// B171: what was read of a deployment says nothing of the next one with its name, nor does a read that has failed
// halfway say that no session is left.
func TestWhatWasReadOfADeletedDeployment(t *testing.T) {
	t.Parallel()
	const sessions = "list CoderSessionList"
	isGone := func(w *stepped.World) bool {
		for range 3 {
			w.PassDeployment()
			w.Clock.Step(time.Second)
		}
		err := w.API.Get(t.Context(), w.Key(testenv.DeploymentName), &v1alpha1.CoderDeployment{})
		w.Must(client.IgnoreNotFound(err))
		return err != nil
	}
	w := newShard(t)
	first := deploymentOf(w)
	w.Must(w.API.Delete(t.Context(), first))
	if !isGone(w) {
		t.Fatal("a deployment without sessions stays")
	}
	again := w.NewDeployment(testenv.DeploymentName, first.Spec.URL, func(spec *v1alpha1.CoderDeploymentSpec) {
		*spec = first.Spec
	})
	again.Labels = map[string]string{"shard": "a"}
	w.Put(again)
	putInShard(w, "b", "ci")
	w.PassDeployment()
	w.Must(w.API.Delete(t.Context(), deploymentOf(w)))
	if isGone(w) {
		t.Fatal("the next one of its name is gone, although it has a session")
	}
	w.DirectErrors = map[string]error{sessions: errors.New("the API server is overloaded")}
	w.Clock.Step(time.Hour)
	for range 2 { // the first one fails
		_, _ = w.Controllers.Deployments.Reconcile(t.Context(), ctrl.Request{NamespacedName: w.Key(testenv.DeploymentName)})
		w.Clock.Step(time.Second)
	}
	w.DirectErrors = nil
	if isGone(w) {
		t.Error("it is gone after a read that has failed")
	}
}

// B171: a deleted deployment waits for the sessions of all managers. One that comes to another manager is not gone
// at once because that one watches none of its sessions.
func TestADeletedDeploymentWaitsForSessionsOfOtherManagers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		of   string // the deployment that the session refers to
		gone bool
	}{
		"one of its sessions":  {of: testenv.DeploymentName},
		"a session of another": {of: "another", gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newShard(t)
			s := w.NewMintedSession("ci", testenv.MachineUser)
			s.Labels, s.Spec.DeploymentRef.Name = map[string]string{"shard": "b"}, v1alpha1.ObjectName(tc.of)
			w.Put(s)
			w.Must(w.API.Delete(t.Context(), deploymentOf(w)))
			for range 3 {
				w.PassDeployment()
				w.Clock.Step(time.Minute)
			}
			err := w.API.Get(t.Context(), w.Key(testenv.DeploymentName), &v1alpha1.CoderDeployment{})
			if client.IgnoreNotFound(err) != nil || (err != nil) != tc.gone {
				t.Errorf("the deployment is gone: %t (%v)", err != nil, err)
			}
			if tc.gone {
				return
			}
			w.Must(w.API.Delete(t.Context(), w.Session("ci")))
			w.Clock.Step(time.Minute)
			w.PassDeployment()
			w.PassDeployment()
			err = w.API.Get(t.Context(), w.Key(testenv.DeploymentName), &v1alpha1.CoderDeployment{})
			if !apierrors.IsNotFound(err) {
				t.Errorf("the deployment stays without sessions: %v", err)
			}
		})
	}
}

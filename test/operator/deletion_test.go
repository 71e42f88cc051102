// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func (w *world) noSession(name string) check {
	return func(ctx context.Context) error {
		_, err := w.getSession(ctx, name)
		return mustBeGone("session "+name, err)
	}
}

func (w *world) noSecret(name string) check {
	return func(ctx context.Context) error {
		_, err := w.getSecret(ctx, name)
		return mustBeGone("Secret "+name, err)
	}
}

func mustBeGone(what string, err error) error {
	if err == nil {
		return fmt.Errorf("%s is still there", what)
	}
	return client.IgnoreNotFound(err)
}

func TestDeletionRevokesEverything(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot", rotating("1h")))
	w.eventually(w.serial("ci", 2))
	w.delete(w.nowSession("ci"))
	w.eventually(w.noSession("ci"), w.noSecret("ci"), w.liveTokens(0))
}

// Deleting everything at once, as kubectl delete -f does, leaves no token either.
func TestDeletingDeploymentAndSecretsTooLeavesNoToken(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"))
	d, err := w.getDeployment(t.Context(), "prod")
	w.must(err)
	w.delete(d)
	w.delete(w.nowSecret("mtls"))
	w.delete(w.nowSecret("token"))
	w.delete(w.nowSession("ci"))
	w.eventually(w.noSession("ci"), w.liveTokens(0), func(ctx context.Context) error {
		_, err := w.getDeployment(ctx, "prod")
		return mustBeGone("the deployment", err)
	})
}

// A deployment waits for its sessions and says so.
func TestADeploymentWaitsForItsSessions(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"))
	d, err := w.getDeployment(t.Context(), "prod")
	w.must(err)
	w.delete(d)
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonTerminating, w.namespace+"/ci"), w.ready("ci"))
	w.delete(w.nowSession("ci"))
	w.eventually(w.noSession("ci"), w.liveTokens(0), func(ctx context.Context) error {
		_, err := w.getDeployment(ctx, "prod")
		return mustBeGone("the deployment", err)
	})
}

// A server that cannot be reached is waited for, up to the timeout; then a
// warning names what is left on it.
func TestAnUnreachableServerDelaysDeletionAndIsGivenUp(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot"))
	w.eventually(w.ready("ci"))
	id := w.nowSession("ci").Status.Token.ID
	w.listener.Stop()
	w.delete(w.nowSession("ci"))
	w.eventually(w.notReady("ci", v1alpha1.ReasonAwaitingDeployment, id))
	w.eventually(w.noSession("ci"), w.event(corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, id))
}

func (w *world) event(kind, reason, fragment string) check {
	return func(ctx context.Context) error {
		for _, e := range w.events(ctx) {
			if e.Type == kind && e.Reason == reason && strings.Contains(e.Note, fragment) {
				return nil
			}
		}
		return fmt.Errorf("no %s event %s with %q", kind, reason, fragment)
	}
}

func (w *world) events(ctx context.Context) []eventsv1.Event {
	var list eventsv1.EventList
	if err := w.client.List(ctx, &list, client.InNamespace(w.namespace)); err != nil && !apierrors.IsNotFound(err) {
		w.t.Error(err)
	}
	return list.Items
}

// B41: a token that a lost answer left is found by its name when the session is
// deleted before it could be minted again.
func TestDeletionFindsTheTokenOfALostAnswer(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"))
	w.eventually(w.verified("prod"))
	const route = "/api/v2/users/{user}/keys/tokens"
	w.coder.Inject(coderd.Fault{Kind: coderd.FaultDropAnswer, Method: "POST", Path: route, Times: 1})
	remove := w.coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: 503, Method: "POST", Path: route, Skip: 1})
	w.create(w.mint("ci", "ci-bot"))
	w.eventually(w.liveTokens(1), w.notReady("ci", v1alpha1.ReasonAwaitingDeployment, ""))
	w.delete(w.nowSession("ci"))
	w.eventually(w.noSession("ci"), w.liveTokens(0))
	remove()
}

func TestARetainedSecretStaysAndIsTakenOver(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	retain := func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{DeletionPolicy: v1alpha1.DeletionPolicyRetain}
	}
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot", retain))
	w.eventually(w.ready("ci"))
	w.delete(w.nowSession("ci"))
	w.eventually(w.noSession("ci"), w.liveTokens(0))
	if owners := w.nowSecret("ci").OwnerReferences; len(owners) > 0 {
		t.Errorf("the retained Secret has owners: %v", owners)
	}
	w.create(w.mint("ci", "ci-bot", retain))
	w.eventually(w.ready("ci"), w.liveTokens(1))
}

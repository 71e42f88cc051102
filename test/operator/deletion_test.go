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
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

func (w *operatorEnv) noSession(name string) wait.Check {
	return func(ctx context.Context) error {
		_, err := w.GetSession(ctx, name)
		return mustBeGone("session "+name, err)
	}
}

func (w *operatorEnv) noSecret(name string) wait.Check {
	return func(ctx context.Context) error {
		_, err := w.GetSecret(ctx, name)
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
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", withShortLifetime("5m")))
	w.Eventually(w.hasSerial("ci", 2))
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.noSession("ci"), w.noSecret("ci"), w.hasLiveTokens(0))
}

// Deleting everything at once, as kubectl delete -f does, leaves no token either.
func TestDeletingDeploymentAndSecretsTooLeavesNoToken(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	d, err := w.GetDeployment(t.Context(), "prod")
	w.Must(err)
	w.Delete(d)
	w.Delete(w.CurrentSecret("mtls"))
	w.Delete(w.CurrentSecret("token"))
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.noSession("ci"), w.hasLiveTokens(0), func(ctx context.Context) error {
		_, err := w.GetDeployment(ctx, "prod")
		return mustBeGone("the deployment", err)
	})
}

// A deployment waits for its sessions and says so.
func TestADeploymentWaitsForItsSessions(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	d, err := w.GetDeployment(t.Context(), "prod")
	w.Must(err)
	w.Delete(d)
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonTerminating, w.Namespace+"/ci"),
		w.IsReady("ci"))
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.noSession("ci"), w.hasLiveTokens(0), func(ctx context.Context) error {
		_, err := w.GetDeployment(ctx, "prod")
		return mustBeGone("the deployment", err)
	})
}

// A server that cannot be reached is waited for, up to the timeout; then a
// warning names what is left on it.
func TestAnUnreachableServerDelaysDeletionAndIsGivenUp(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"))
	id := w.CurrentSession("ci").Status.Token.ID
	w.listener.Stop()
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.IsNotReady("ci", v1alpha1.ReasonAwaitingDeployment, id))
	w.Eventually(w.noSession("ci"), w.hasEvent(corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, id))
}

func (w *operatorEnv) hasEvent(kind, reason, fragment string) wait.Check {
	return func(ctx context.Context) error {
		for _, e := range w.listEvents(ctx) {
			if e.Type == kind && e.Reason == reason && strings.Contains(e.Note, fragment) {
				return nil
			}
		}
		return fmt.Errorf("no %s event %s with %q", kind, reason, fragment)
	}
}

func (w *operatorEnv) listEvents(ctx context.Context) []eventsv1.Event {
	var list eventsv1.EventList
	if err := w.Client.List(ctx, &list, client.InNamespace(w.Namespace)); err != nil && !apierrors.IsNotFound(err) {
		w.T.Error(err)
	}
	return list.Items
}

// B41: a token that a lost answer left is found by its name when the session is
// deleted before it could be minted again.
func TestDeletionFindsTheTokenOfALostAnswer(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	w.Eventually(w.IsVerified("prod"))
	const route = "/api/v2/users/{user}/keys/tokens"
	w.Coder.Inject(coderd.Fault{Kind: coderd.FaultDropAnswer, Method: "POST", Path: route, Times: 1})
	remove := w.Coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: 503, Method: "POST", Path: route, Skip: 1})
	w.Create(w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.hasLiveTokens(1), w.IsNotReady("ci", v1alpha1.ReasonAwaitingDeployment, ""))
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.noSession("ci"), w.hasLiveTokens(0))
	remove()
}

func TestARetainedSecretStaysAndIsTakenOver(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	retain := func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{DeletionPolicy: v1alpha1.DeletionPolicyRetain}
	}
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", retain))
	w.Eventually(w.IsReady("ci"))
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.noSession("ci"), w.hasLiveTokens(0))
	if owners := w.CurrentSecret("ci").OwnerReferences; len(owners) > 0 {
		t.Errorf("the retained Secret has owners: %v", owners)
	}
	w.Create(w.NewMintedSession("ci", "ci-bot", retain))
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1))
}

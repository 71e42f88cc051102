// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// readyCondition returns the Ready condition; Unknown if there is none.
func readyCondition(conditions []metav1.Condition) metav1.Condition {
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{Status: metav1.ConditionUnknown, Reason: "NoCondition"}
}

// sessionIs waits for a reason of a session's Ready condition, for the current generation of the
// spec.
func (w *e2eRun) sessionIs(name, reason string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		object, err := w.getSession(ctx, name)
		if err != nil {
			return "", false, err
		}
		c := readyCondition(object.Status.Conditions)
		seen := fmt.Sprintf("CoderSession %s has Ready=%s (%s: %s)", name, c.Status, c.Reason, c.Message)
		return seen, c.Reason == reason && object.Status.ObservedGeneration == object.Generation, nil
	}
}

// awaitSessions waits until sessions are in one state.
func (w *e2eRun) awaitSessions(ctx context.Context, reason string, names ...string) error {
	for _, name := range names {
		if _, err := walk.Await(ctx, fmt.Sprintf("CoderSession %s is %s", name, reason),
			w.sessionIs(name, reason)); err != nil {
			return err
		}
	}
	return nil
}

// publishedTokenID returns the id of the token in a session's Secret.
func (w *e2eRun) publishedTokenID(ctx context.Context, name string) (string, error) {
	secret, err := w.getSecret(ctx, name)
	return secret.Annotations[v1alpha1.AnnotationTokenID], err
}

// liveTokens are the ids of the session's tokens that the server accepts.
func (w *e2eRun) liveTokens(ctx context.Context, name string) ([]string, error) {
	object, err := w.getSession(ctx, name)
	if err != nil {
		return nil, err
	}
	keys, err := w.coder.Minted(ctx)
	var ids []string
	for _, key := range keys {
		// cso-<cluster>-<uid, 8>-<serial>
		if parts := strings.Split(key.Name, "-"); len(parts) == 4 && parts[2] == string(object.UID)[:8] {
			ids = append(ids, key.ID)
		}
	}
	return ids, err
}

// oneToken looks whether the published token is the only one of the session's that is alive.
func (w *e2eRun) oneToken(name string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		id, err := w.publishedTokenID(ctx, name)
		if err != nil {
			return "", false, err
		}
		live, err := w.liveTokens(ctx, name)
		return fmt.Sprintf("alive: %s; published: %s", strings.Join(live, ", "), id), len(live) == 1 && live[0] == id, err
	}
}

// leader is who holds the operator's lease: the pod, and the process in it.
type leader struct{ pod, identity string }

func (w *e2eRun) findLeader(ctx context.Context) (leader, error) {
	var leases coordinationv1.LeaseList
	if err := w.client.List(ctx, &leases, client.InNamespace(operatorNamespace)); err != nil {
		return leader{}, err
	}
	for _, lease := range leases.Items {
		if holder := lease.Spec.HolderIdentity; strings.HasPrefix(lease.Name, release) && holder != nil {
			pod, _, _ := strings.Cut(*holder, "_")
			return leader{pod: pod, identity: *holder}, nil
		}
	}
	return leader{}, nil
}

// leadsOther looks for a leader other than the given one.
func (w *e2eRun) leadsOther(was leader) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		now, err := w.findLeader(ctx)
		return "the leader is " + now.identity, now.identity != "" && now.identity != was.identity, err
	}
}

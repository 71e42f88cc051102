// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

//go:embed manifests/team.yaml
var teamManifest string

// teamSessions are how many sessions that manifest has for each namespace.
const teamSessions = 3

// loseNamespaces deletes a namespace with its deployment, Secrets and sessions, while the operator runs;
// then another one, of which the operator is killed while it revokes.
func (w *e2eRun) loseNamespaces(ctx context.Context) error {
	ids, err := w.createTeam(ctx, "team-one")
	if err != nil {
		return err
	}
	started := time.Now()
	if err := w.kubectl.Show(ctx, "delete", "namespace", "team-one", "--timeout=60s"); err != nil {
		return err
	}
	if alive, err := w.aliveOf(ctx, ids); err != nil || len(alive) > 0 {
		return errors.Join(err, &walk.UnexpectedError{
			Expected: "no token of the namespace is alive", Seen: strings.Join(alive, ", "),
		})
	}
	w.recordFigure("a namespace with %d sessions was gone, and its tokens, after %s", teamSessions,
		walk.Brief(time.Since(started)))
	return w.loseNamespaceAndLeader(ctx)
}

// loseNamespaceAndLeader kills the operator while it revokes the tokens of a namespace that is deleted.
func (w *e2eRun) loseNamespaceAndLeader(ctx context.Context) error {
	ids, err := w.createTeam(ctx, "team-two")
	if err != nil {
		return err
	}
	leader, err := w.findLeader(ctx)
	if err != nil {
		return err
	}
	release, waiting, err := w.coder.gateRequests(ctx, http.MethodDelete, "/api/v2/users/*/keys/*")
	if err != nil {
		return err
	}
	defer func() { _ = release(ctx) }()
	if err := w.kubectl.Show(ctx, "delete", "namespace", "team-two", "--wait=false"); err != nil {
		return err
	}
	if _, err := walk.Await(ctx, "a revocation is under way", waiting); err != nil {
		return err
	}
	if err := w.killOperator(ctx, leader.pod); err != nil {
		return err
	}
	if err := release(ctx); err != nil {
		return err
	}
	if _, err := walk.Await(ctx, "another process leads", w.leadsOther(leader)); err != nil {
		return err
	}
	took, err := walk.AwaitFor(ctx, goneOrNamed, "namespace team-two is gone, and each of its tokens is revoked or named",
		w.isGoneOrNamed("team-two", ids))
	if err != nil {
		return err
	}
	w.recordFigure("with the operator killed meanwhile: %s after the other replica had taken over", walk.Brief(took))
	if err := w.deleteNamed(ctx, ids); err != nil {
		return err
	}
	return w.rolledOut(ctx)
}

// deleteNamed does what the event asks for that names tokens which the operator could not revoke: it deletes them
// on the server.
func (w *e2eRun) deleteNamed(ctx context.Context, ids []string) error {
	alive, err := w.aliveOf(ctx, ids)
	for _, id := range alive {
		w.term.Seen("token %s is named, and deleted on the server", id)
		err = errors.Join(err, w.coder.Call(ctx, http.MethodDelete, "/tokens/"+id, nil, nil))
	}
	return err
}

// goneOrNamed is how long a namespace may wait for an operator that has lost its memory.
const goneOrNamed = 30 * time.Second

// createTeam creates a namespace with a deployment and sessions of its own, and returns the ids of their
// tokens.
func (w *e2eRun) createTeam(ctx context.Context, team string) ([]string, error) {
	token, err := w.coder.createToken(ctx, operatorUser, team)
	if err != nil {
		return nil, err
	}
	text := strings.ReplaceAll(teamManifest, "TEAM", team)
	if err := w.applyManifest(ctx, w.kubectl, team+".yaml", text); err != nil {
		return nil, err
	}
	for _, object := range []client.Object{
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: "operator"}, StringData: map[string]string{"token": token},
		},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: "edge"},
			StringData: map[string]string{"value": w.material.header},
		},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: "mtls"}, StringData: w.material.client.Data(),
		},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: "ca"},
			Data:       map[string]string{"ca.crt": string(w.material.servers.PEM())},
		},
	} {
		if err := w.client.Create(ctx, object); err != nil {
			return nil, fmt.Errorf("create what the deployment of %s refers to: %w", team, err)
		}
	}
	var ids []string
	_, err = walk.Await(ctx, "the sessions of "+team+" have tokens", func(ctx context.Context) (string, bool, error) {
		var list v1alpha1.CoderSessionList
		if err := w.client.List(ctx, &list, client.InNamespace(team)); err != nil {
			return "", false, err
		}
		ids = nil
		for i := range list.Items {
			ready := readyCondition(list.Items[i].Status.Conditions)
			if published := list.Items[i].Status.Token; ready.Status == metav1.ConditionTrue && published != nil {
				ids = append(ids, published.ID)
			}
		}
		return fmt.Sprintf("%d of %d", len(ids), teamSessions), len(ids) == teamSessions, nil
	})
	return ids, err
}

// aliveOf returns which of the tokens the server still accepts.
func (w *e2eRun) aliveOf(ctx context.Context, ids []string) ([]string, error) {
	keys, err := w.coder.Minted(ctx)
	var alive []string
	for _, key := range keys {
		if slices.Contains(ids, key.ID) {
			alive = append(alive, key.ID)
		}
	}
	return alive, err
}

// isGoneOrNamed looks whether a namespace is gone, and each of its tokens is revoked, or named by an event
// about the namespace.
func (w *e2eRun) isGoneOrNamed(team string, ids []string) walk.Look {
	return func(ctx context.Context) (string, bool, error) {
		err := w.client.Get(ctx, client.ObjectKey{Name: team}, &corev1.Namespace{})
		if client.IgnoreNotFound(err) != nil {
			return "", false, err
		}
		if err == nil {
			return "the namespace is still there", false, nil
		}
		alive, err := w.aliveOf(ctx, ids)
		if err != nil {
			return "", false, err
		}
		var events eventsv1.EventList
		if err := w.client.List(ctx, &events, client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return "", false, err
		}
		unnamed := slices.DeleteFunc(alive, func(id string) bool {
			return slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
				return e.Reason == v1alpha1.EventRevocationAbandoned && e.Regarding.Name == team && strings.Contains(e.Note, id)
			})
		})
		return "alive and not named: " + strings.Join(unnamed, ", "), len(unnamed) == 0, nil
	}
}

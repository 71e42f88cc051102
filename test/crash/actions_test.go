// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// limitSecrets lets no Secret be created, or as many as one likes.
func (w *crashEnv) limitSecrets(most string) {
	w.T.Helper()
	editObject(w, &corev1.ResourceQuota{ObjectMeta: w.Meta("secrets")}, func(q *corev1.ResourceQuota) {
		q.Spec.Hard = corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse(most)}
	})
	w.Eventually(func(ctx context.Context) error {
		q := &corev1.ResourceQuota{}
		if err := w.Get(ctx, "secrets", q); err != nil {
			return err
		}
		q.Status.Hard = q.Spec.Hard
		q.Status.Used = corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("10")}
		return w.Client.Status().Update(ctx, q)
	})
}

// refusedSecret: while the API server refuses to write the Secret, it is asked without a change before
// a token is minted.
func refusedSecret(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.createBystander()
			w.Create(&corev1.ResourceQuota{ObjectMeta: w.Meta("secrets")})
			w.limitSecrets("10")
			w.Create(w.newMintedSession("ci", "ci-bot", shortly))
			w.Eventually(w.readyIs("ci", "False", v1alpha1.ReasonAPIServerRefused))
		},
		trigger: func() { w.limitSecrets("1000") },
		done:    w.oneToken("ci"),
	}
}

// retainedSecret: the Secret outlives its session, its token does not.
func retainedSecret(w *crashEnv) scenario {
	session := &v1alpha1.CoderSession{}
	return scenario{
		prepare: func() {
			s := w.newMintedSession("ci", "ci-bot", shortly)
			s.Spec.Secret = &v1alpha1.GeneratedSecret{DeletionPolicy: v1alpha1.DeletionPolicyRetain}
			w.createBystander()
			w.Create(s)
			w.Eventually(w.oneToken("ci"))
			*session = *w.CurrentSession("ci")
		},
		trigger: func() { w.Delete(w.CurrentSession("ci")) },
		done: func(ctx context.Context) error {
			secret := &corev1.Secret{}
			if err := errors.Join(w.isAbsent(ctx, "ci", &v1alpha1.CoderSession{}), w.Get(ctx, "ci", secret)); err != nil {
				return err
			}
			if len(secret.OwnerReferences) > 0 {
				return fmt.Errorf("the Secret has the owners %v", secret.OwnerReferences)
			}
			if live := w.LiveTokens(names.SessionPrefix(string(session.UID))); len(live) > 0 {
				return fmt.Errorf("tokens %s outlive their session", describeTokens(live))
			}
			return nil
		},
	}
}

// boundToAWorkspace: the workspace is looked up before a token is minted.
func boundToAWorkspace(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			_, err := w.Coder.CreateWorkspace(coderd.WorkspaceOptions{Owner: "ada", Name: "dev"})
			w.Must(err)
			w.createBystander()
		},
		trigger: func() {
			s := w.newMintedSession("ci", "ci-bot", shortly)
			s.Spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ada", Name: "dev"}
			w.Create(s)
		},
		done: w.oneToken("ci"),
	}
}

// asksForConsent: the session has a URL of a client that the server knows. An answer that is lost may
// leave one more client behind.
func (w *crashEnv) asksForConsent(ctx context.Context) error {
	s := &v1alpha1.CoderSession{}
	if err := w.Get(ctx, "ci", s); err != nil {
		return err
	}
	if s.Status.Authorization == nil || meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionReady) {
		return fmt.Errorf("session ci asks for no consent: %+v", s.Status)
	}
	asked, err := url.Parse(s.Status.Authorization.URL)
	if err != nil {
		return err
	}
	clients := w.Coder.OAuthApps()
	known := slices.ContainsFunc(clients, func(c coderd.OAuthApp) bool {
		return c.ClientID == asked.Query().Get("client_id")
	})
	if !known || len(clients) > 2 {
		return fmt.Errorf("session ci asks for consent with %s, the server has the clients %v", asked, clients)
	}
	return nil
}

// startAuthorization registers a session and asks for consent.
func startAuthorization(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.enableOAuth()
			w.createBystander()
		},
		trigger: func() { w.Create(w.NewSession("ci", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}})) },
		done:    wait.InOrder(w.readyIs("ci", "False", v1alpha1.ReasonAwaitingAuthorization), w.asksForConsent),
	}
}

// endGrant: a consent that does not cover what the session asks for is given back.
func endGrant(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createGranted("workspace:read") },
		trigger: func() {
			editObject(w, w.CurrentSession("ci"), func(s *v1alpha1.CoderSession) {
				s.Spec.Auth.OAuth.Scopes = []v1alpha1.Scope{"workspace:read", "workspace:ssh"}
			})
		},
		done: func(ctx context.Context) error {
			if held := w.Coder.OAuthGrants("ada", ""); len(held) > 0 {
				return fmt.Errorf("ada has still %d grants", len(held))
			}
			return w.asksForConsent(ctx)
		},
	}
}

// deleteGranted: nothing of the session is left on the server, no grant and no client.
func deleteGranted(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createGranted() },
		trigger: func() { w.Delete(w.CurrentSession("ci")) },
		done: func(ctx context.Context) error {
			if held, clients := w.Coder.OAuthGrants("ada", ""), w.Coder.OAuthApps(); len(held)+len(clients) > 0 {
				return fmt.Errorf("ada has still %d grants, the server %d clients", len(held), len(clients))
			}
			return errors.Join(w.isAbsent(ctx, "ci", &v1alpha1.CoderSession{}), w.isAbsent(ctx, "ci", &corev1.Secret{}),
				w.isAbsent(ctx, "ci-oauth", &corev1.Secret{}))
		},
	}
}

// interruptedRefresh: another process has recorded that it is about to refresh the grant, and has
// ended before it did.
func interruptedRefresh(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createGranted() },
		trigger: func() {
			_, err := grant.NewStore(w.Client, w.Client).Change(w.T.Context(), w.CurrentSession("ci"),
				func(state *grant.State) error {
					state.SpentBy("another process", w.clock.Now())
					return nil
				})
			w.Must(err)
			w.advanceClock(grant.SpendingTime + time.Second)
		},
		done: func(ctx context.Context) error {
			if err := w.grantOf(ctx); err != nil {
				return err
			}
			state, _, err := grant.NewStore(w.Client, w.Client).Read(ctx, w.CurrentSession("ci"))
			if err == nil && (state.Intent != nil || state.Grant == nil) {
				err = fmt.Errorf("stored is %+v", state.Public())
			}
			return err
		},
	}
}

// renewOwnToken: the operator replaces its own token and revokes the former one (B50).
func renewOwnToken(w *crashEnv) scenario {
	former, shifted := "", false
	return scenario{
		prepare: func() {
			w.Create(w.newDeployment())
			w.Eventually(w.isDeploymentReady)
			// The operator revokes only what it has minted for this deployment (B142).
			former = w.putOwnToken(1)
			w.clock.Shift(30 * time.Hour) // of 100
		},
		trigger: func() {
			editObject(w, w.newDeployment(), func(d *v1alpha1.CoderDeployment) {
				d.Spec.Token.Renew = &v1alpha1.TokenRenewal{Lifetime: "144h", Before: "80h"}
			})
		},
		done: func(ctx context.Context) error {
			own, d := &corev1.Secret{}, &v1alpha1.CoderDeployment{}
			if err := errors.Join(w.Get(ctx, testenv.TokenSecret, own), w.Get(ctx, testenv.DeploymentName, d)); err != nil {
				return err
			}
			if own.Annotations[v1alpha1.AnnotationPredecessor] != "" {
				if !shifted {
					shifted = true
					w.clock.Shift(deployment.PredecessorOverlap + time.Second)
				}
				return errors.New("the former token is not revoked yet")
			}
			value, live := string(own.Data["token"]), w.LiveTokens(names.SessionPrefix(string(d.UID)))
			if value == former || !w.Coder.AcceptsToken(value) || w.Coder.AcceptsToken(former) || len(live) != 1 {
				return fmt.Errorf("published is %s instead of %s, live are %s", value[:10], former[:10], describeTokens(live))
			}
			return w.isDeploymentReady(ctx)
		},
		verifies: true,
	}
}

// putOwnToken puts a token into the operator's Secret as if the operator had minted it with this
// serial, and waits until it is used.
func (w *crashEnv) putOwnToken(serial int64) string {
	w.T.Helper()
	d := &v1alpha1.CoderDeployment{}
	w.Must(w.Get(w.T.Context(), testenv.DeploymentName, d))
	value, key, err := w.Coder.CreateToken(coderd.TokenOptions{
		User: testenv.OperatorUser, Name: names.Token(string(d.UID), serial), Lifetime: 100 * time.Hour})
	w.Must(err)
	secret := w.CurrentSecret(testenv.TokenSecret)
	w.Write(secret, func() { secret.Data["token"] = []byte(value) })
	w.Eventually(w.isDeploymentReady, func(ctx context.Context) error {
		d := &v1alpha1.CoderDeployment{}
		if err := w.Get(ctx, testenv.DeploymentName, d); err != nil {
			return err
		}
		if end := d.Status.TokenExpirationTime; end == nil || end.Sub(key.ExpiresAt).Abs() > time.Second {
			return fmt.Errorf("token %s is not used yet", key.ID)
		}
		return nil
	})
	return value
}

// isDeploymentReady: Ready is True for the present generation.
func (w *crashEnv) isDeploymentReady(ctx context.Context) error {
	d := &v1alpha1.CoderDeployment{}
	if err := w.Get(ctx, testenv.DeploymentName, d); err != nil {
		return err
	}
	ready := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != "True" || d.Status.ObservedGeneration != d.Generation {
		return fmt.Errorf("deployment %s: %+v", d.Name, ready)
	}
	return nil
}

// deleteDeployment that no session needs.
func deleteDeployment(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.Create(w.newDeployment())
			w.Eventually(w.isDeploymentReady)
		},
		trigger: func() { w.Delete(w.newDeployment()) },
		done: func(ctx context.Context) error {
			return w.isAbsent(ctx, testenv.DeploymentName, &v1alpha1.CoderDeployment{})
		},
	}
}

// isAbsent: there is no such object.
func (w *crashEnv) isAbsent(ctx context.Context, name string, object client.Object) error {
	switch err := w.Get(ctx, name, object); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%T %s is still there", object, name)
}

// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

func (w *simWorld) editSession() {
	sessions := w.editable()
	if len(sessions) == 0 {
		return
	}
	s := pick(w, sessions)
	what := w.rng.IntN(8)
	w.tracef("* session %s: edit %d", s.Name, what)
	_ = edit(w, refOf(s), func(s *v1alpha1.CoderSession) {
		switch mint := s.Spec.Auth.Mint; {
		case what == 0:
			s.Spec.Paused = !s.Spec.Paused
		case what == 1:
			overlap := pick(w, []time.Duration{time.Second, time.Minute, 10 * time.Minute})
			s.Spec.Rotation = &v1alpha1.Rotation{Overlap: v1alpha1.DurationOf(overlap)}
		case what == 2:
			label := v1alpha1.LabelValue(fmt.Sprint(w.rng.IntN(9)))
			s.Spec.Secret = &v1alpha1.GeneratedSecret{Labels: map[string]v1alpha1.LabelValue{"edit": label}}
		case what == 3:
			template := map[string]string{"netrc": "login {{ .User }} password {{ .Token }}"}
			s.Spec.Secret = &v1alpha1.GeneratedSecret{Template: template}
		case s.Spec.PerPod != nil && (what == 4 || what == 7): // the API server refuses that
		case what == 4:
			s.Spec.Secret = &v1alpha1.GeneratedSecret{DeletionPolicy: v1alpha1.DeletionPolicyRetain}
		case mint == nil && what == 5 && s.Spec.Auth.Token != nil:
			s.Spec.Auth = v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "bot-1", Lifetime: "4h"}}
		case mint == nil:
		case what == 5:
			mint.User = pick(w, simBots)
		case what == 6:
			mint.Lifetime = pick(w, []v1alpha1.Duration{"1h", "6h", "24h", "300h"})
		case what == 7 && s.Namespace == "coder" && s.Spec.DeploymentRef.Name == "prod":
			s.Spec.Auth = v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{
				SecretRef: v1alpha1.TokenSecretRef{Name: "mine-token", Key: "token"},
			}}
		}
	})
}

// editSecret makes a random manual change to a generated Secret.
func (w *simWorld) editSecret() {
	sessions := w.sessions()
	if len(sessions) == 0 {
		return
	}
	secret := w.secretOf(pick(w, sessions))
	if secret == nil {
		return
	}
	what := w.rng.IntN(6)
	w.tracef("* Secret %s: edit %d", secret.Name, what)
	_ = edit(w, refOf(secret), func(s *corev1.Secret) {
		switch what {
		case 0:
			s.Data["session"] = []byte("edited")
		case 1:
			s.Data = map[string][]byte{"other": []byte("edited")}
		case 2:
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, "another-writer", fmt.Sprint(w.rng.IntN(1000)))
		case 3:
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationSerial, "many")
		case 4:
			s.Annotations = nil
		case 5:
			s.OwnerReferences = nil
		}
	})
}

func (w *simWorld) deleteSecret() {
	if sessions := w.sessions(); len(sessions) > 0 {
		if secret := w.secretOf(pick(w, sessions)); secret != nil {
			w.tracef("* Secret %s is deleted", secret.Name)
			_ = w.api.remove(refOf(secret), nil)
			if w.rng.IntN(6) == 0 {
				w.put(&corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name},
					Data:       map[string][]byte{"mine": []byte("!")},
				})
			}
		}
	}
}

func (w *simWorld) deleteSession() {
	if sessions := w.sessions(); len(sessions) > 0 {
		s := pick(w, sessions)
		w.tracef("* session %s is deleted", s.Name)
		_ = w.api.remove(refOf(s), nil)
	}
}

func (w *simWorld) createSession() {
	full := pick(w, w.features.sessions())
	namespace, name, _ := strings.Cut(full, "/")
	if w.api.objects[ref{kindSession, key(namespace, name)}] == nil {
		w.tracef("* session %s is created", full)
		w.put(w.newSession(full))
	}
}

func (w *simWorld) toggleAccess() {
	w.tracef("* access changes")
	if w.rng.IntN(3) == 0 {
		namespace := ref{kindNamespace, key("", "builds")}
		_ = edit(w, namespace, func(n *corev1.Namespace) {
			n.Labels = map[string]string{"team": pick(w, []string{"builds", "other"})}
		})
		return
	}
	_ = edit(w, ref{kindDeployment, key("coder", "prod")}, func(d *v1alpha1.CoderDeployment) {
		d.Spec.Access = pick(w, [][]v1alpha1.AccessRule{nil, {simAccess()}})
	})
}

// leaveOrphans creates tokens on a server: one of a session that does not exist, and two that
// the operator must not touch.
func (w *simWorld) leaveOrphans() {
	c := pick(w, w.coders)
	w.own++
	for _, name := range []string{"cso-" + simCluster + "-%08d-1", "cso-another1-%08d-1", "mine-%08d"} {
		name = fmt.Sprintf(name, w.own)
		w.tracef("* a token %s", name)
		c.issue("bot-1", name)
	}
}

func (w *simWorld) deleteDeployment() {
	if w.rng.IntN(3) == 0 {
		w.tracef("* deployment gate is deleted")
		_ = w.api.remove(ref{kindDeployment, key("coder", "gate")}, nil)
	}
}

// heal ends all faults and repairs everything that users can repair.
func (w *simWorld) heal() {
	w.tracef("* everything is repaired")
	w.noise, w.stalled, w.script, w.changesStopped = simNoise{}, time.Time{}, nil, true
	w.refusals, w.consents.willing, w.consents.loses = nil, true, false
	clear(w.cues)
	w.correctClocks()
	w.freeRollouts()
	w.healWorkspaces()
	for _, c := range w.coders {
		c.down = false
		c.server.SetOAuth2Provider(true)
		for _, name := range append(simBots, "ada", simOperatorID) {
			w.activate(c, name)
		}
		c.pairs[w.pair] = true
		w.revokeOwnOfFuture(c)
		c.issueOwn()
		c.supply = c.issue("ada", fmt.Sprintf("laptop-%d", w.own))
		c.vouch = c.issue(simOperatorID, fmt.Sprintf("edge-%d", w.own))
	}
	labels := map[string]string{"team": "builds"}
	w.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "builds", Labels: labels}})
	if d := w.deployment("gate"); d != nil && d.DeletionTimestamp != nil {
		for _, s := range w.sessions() {
			if s.Spec.DeploymentRef.Name == "gate" {
				_ = w.api.remove(refOf(s), nil)
			}
		}
		w.run(15 * time.Minute)
	}
	if w.deployment("gate") == nil {
		w.put(w.newDeployment("gate"))
	}
	_ = edit(w, ref{kindDeployment, key("coder", "prod")}, func(d *v1alpha1.CoderDeployment) {
		d.Spec.Access = []v1alpha1.AccessRule{simAccess()}
	})
	for _, name := range simSettings {
		w.write(name, w.valid(name))
	}
	for _, full := range w.features.sessions() {
		namespace, name, _ := strings.Cut(full, "/")
		secret, ok := w.api.objects[ref{kindSecret, key(namespace, name)}].(*corev1.Secret)
		if ok && len(secret.OwnerReferences) == 0 {
			_ = w.api.remove(refOf(secret), nil)
		}
	}
	for _, name := range simWorkloads {
		w.at(time.Minute, func() { w.finishRollout(name) }) // their steps were in the script
	}
	for _, s := range w.sessions() {
		_ = edit(w, refOf(s), func(s *v1alpha1.CoderSession) { s.Spec.Paused = false })
	}
	w.healPods()
	if w.retains {
		w.changeRetention()
	}
	w.run(time.Minute)
	w.api.collect()
	for _, full := range w.features.sessions() {
		namespace, name, _ := strings.Cut(full, "/")
		if w.api.objects[ref{kindSession, key(namespace, name)}] == nil {
			w.put(w.newSession(full))
		}
	}
}

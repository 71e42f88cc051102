// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// createParent makes the session each, which has perPod, beside the bystander.
func (w *crashEnv) createParent() {
	w.T.Helper()
	parent := w.newMintedSession("each", "ci-bot", shortly)
	parent.Spec.PerPod = &v1alpha1.PerPod{MaxPods: 1}
	w.createBystander()
	w.Create(parent)
	w.Eventually(w.readyIs("each", "True", v1alpha1.ReasonServingPods))
}

// podSession is the name of the pod's session, as the webhook makes it.
const podSession = "each-bcdfghjk"

// createPod makes a pod as the webhook leaves it. Its session is to be named podSession.
func (w *crashEnv) createPod(name string) {
	w.T.Helper()
	w.Create(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.Namespace, Name: name, Labels: map[string]string{v1alpha1.LabelParent: "each"},
			Annotations: map[string]string{v1alpha1.AnnotationPodSession: podSession},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "job", Image: "job"}}},
	})
}

// endPod makes the pod succeed.
func (w *crashEnv) endPod(name string) {
	w.T.Helper()
	pod := &corev1.Pod{ObjectMeta: w.Meta(name)}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"phase":"Succeeded"}}`))
	w.Must(w.Client.Status().Patch(w.T.Context(), pod, patch))
}

// createServedPod makes a pod that has its token, and returns its session.
func (w *crashEnv) createServedPod() *v1alpha1.CoderSession {
	w.T.Helper()
	w.createParent()
	w.createPod("job")
	w.Eventually(w.servesPod)
	return w.CurrentSession(podSession)
}

// servesPod: the session podSession is that of the pod and has exactly one token.
func (w *crashEnv) servesPod(ctx context.Context) error {
	s, pod := &v1alpha1.CoderSession{}, &corev1.Pod{}
	if err := errors.Join(w.Get(ctx, podSession, s), w.Get(ctx, "job", pod)); err != nil {
		return err
	}
	if owner := podsession.Owner(s); owner == nil || owner.UID != pod.UID {
		return fmt.Errorf("session %s belongs to %v", s.Name, s.OwnerReferences)
	}
	return w.oneToken(podSession)(ctx)
}

// podArrives: B150.
func podArrives(w *crashEnv) scenario {
	return scenario{
		prepare: w.createParent,
		trigger: func() { w.createPod("job") },
		done:    w.servesPod,
	}
}

// podEnds: B151.
func podEnds(w *crashEnv) scenario {
	session := &v1alpha1.CoderSession{}
	return scenario{
		prepare: func() { *session = *w.createServedPod() },
		trigger: func() { w.endPod("job") },
		done:    func(ctx context.Context) error { return w.isGone(session)(ctx) },
	}
}

// podEndsAtOnce meets the session of a pod anywhere in its first mint (B151, B154). That no token is left
// all scenarios check.
func podEndsAtOnce(w *crashEnv) scenario {
	return scenario{
		prepare: w.createParent,
		trigger: func() {
			w.createPod("job")
			w.Eventually(func(ctx context.Context) error {
				if w.operators[0].hasMetFate() {
					return nil
				}
				return w.Get(ctx, podSession, &v1alpha1.CoderSession{})
			})
			w.endPod("job")
		},
		done: func(ctx context.Context) error {
			return errors.Join(w.isAbsent(ctx, podSession, &v1alpha1.CoderSession{}),
				w.isAbsent(ctx, podSession, &corev1.Secret{}))
		},
	}
}

// podsAreRenewed: B153. A request for renewal is passed on from the session with perPod.
func podsAreRenewed(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createServedPod() },
		trigger: func() {
			editObject(w, w.CurrentSession("each"), func(s *v1alpha1.CoderSession) {
				s.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "now"}
			})
		},
		done:    wait.InOrder(w.hasSerial(podSession, 2), w.servesPod),
		gapless: true, secret: podSession,
	}
}

// parentIsDeleted: B153. The tokens of all pods go with it.
func parentIsDeleted(w *crashEnv) scenario {
	session := &v1alpha1.CoderSession{}
	return scenario{
		prepare: func() { *session = *w.createServedPod() },
		trigger: func() { w.Delete(w.CurrentSession("each")) },
		done: func(ctx context.Context) error {
			return errors.Join(w.isAbsent(ctx, "each", &v1alpha1.CoderSession{}), w.isGone(session)(ctx))
		},
	}
}
